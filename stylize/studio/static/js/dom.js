// Small helpers for elements. Text always goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  add: ["M12 5v14", "M5 12h14"],
  back: ["M15 5l-7 7 7 7"],
  brush: ["M20 4c-5 2-9 6-11 10l2 2c4-2 8-7 9-12z", "M8.5 14.5c-3 0-3 4-5 5 3 1.5 7 0 7-3"],
  check: ["M5 12.5l5 5L19.5 7"],
  code: ["M8 7l-5 5 5 5", "M16 7l5 5-5 5"],
  compare: ["M12 3v18", "M9 6H4v12h5", "M15 6h5v12h-5"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
  dream: ["M2 12c4-7 16-7 20 0-4 7-16 7-20 0z", "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  eraser: ["M9 19l-5-5L14 4l6 6-9 9H9z", "M8.5 9.5l6 6", "M11 19h9"],
  grid: ["M4 4h6v6H4z", "M14 4h6v6h-6z", "M4 14h6v6H4z", "M14 14h6v6h-6z"],
  image: ["M4 5h16v14H4z", "M4 16l5-5 4 4 3-3 4 4", "M15.5 8.5v.01"],
  keyboard: ["M3 6h18v12H3z", "M7 10v.01", "M11 10v.01", "M15 10v.01", "M8 14h8"],
  larger: ["M4 14v6h6", "M20 10V4h-6", "M4 20l6-6", "M20 4l-6 6"],
  more: ["M4 7h10", "M18 7h2", "M16 5v4", "M4 17h2", "M10 17h10", "M8 15v4"],
  play: ["M8 5l11 7-11 7z"],
  queue: ["M4 6h11", "M4 12h11", "M4 18h7", "M18 14v6", "M15 17h6"],
  recall: ["M4 5v5h5", "M4.5 10a8 8 0 1 1-.5 4"],
  save: ["M12 4v11", "M7 11l5 5 5-5", "M5 20h14"],
  stop: ["M7 7h10v10H7z"],
  subject: ["M4 8V4h4", "M16 4h4v4", "M20 16v4h-4", "M8 20H4v-4", "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z"],
  terminal: ["M5 7l5 5-5 5", "M12 18h7"],
  theme: ["M12 4a8 8 0 1 0 0 16z", "M12 4a8 8 0 0 1 0 16"],
  trash: ["M5 7h14", "M10 4h4", "M7 7l1 13h8l1-13"],
  zoom: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M15.5 15.5L20 20", "M10.5 8v5", "M8 10.5h5"],
  undo: ["M4 9h10a5 5 0 0 1 0 10h-4", "M8 5L4 9l4 4"],
  up: ["M12 19V5", "M6 11l6-6 6 6"],
  close: ["M6 6l12 12", "M18 6L6 18"],
};

/** An icon; it says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * An element. A key that begins with "on" adds a listener, a key that the element has as a
 * property sets it, and any other becomes an attribute; null, undefined and false leave it out.
 */
export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (value === false && typeof node[key] !== "boolean") continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key === "vars") for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
    else if (key in node && !key.startsWith("aria")) node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return node;
}

/** A button with an icon, words, or both. */
export function button(words, { icon: name, kind = "", ...props } = {}) {
  return el("button", { type: "button", class: `button ${kind}`.trim(), ...props }, name && icon(name), words);
}

/** A button that shows only an icon. */
export function iconButton(words, name, { kind = "", ...props } = {}) {
  return el(
    "button",
    { type: "button", class: `icon-button ${kind}`.trim(), title: words, "aria-label": words, ...props },
    icon(name),
  );
}

/** A heading with something at its end. */
export function blockHead(words, ...end) {
  return el("div", { class: "block-head" }, el("h2", {}, words), ...end);
}

/** Radio buttons that look like one control. */
export function segments(name, choices, value, onchange) {
  return choices.map(([key, words, title]) =>
    el(
      "label",
      { title },
      el("input", {
        type: "radio", name, value: key, checked: key === value, "aria-label": words,
        onchange: () => onchange(key),
      }),
      el("span", {}, words),
    ));
}

/** A range input whose track is filled up to its thumb. */
export function slider(props) {
  const input = el("input", { type: "range", ...props });
  const fill = () => {
    const share = (input.value - input.min) / (input.max - input.min);
    input.style.setProperty("--fill", `${100 * share}%`);
  };
  input.value = props.value;
  input.addEventListener("input", fill);
  input.fill = fill;
  fill();
  return input;
}

/** Replace what a node holds, and keep the focus on the control with the same data-focus key. */
export function refill(node, ...children) {
  const held = node.contains(document.activeElement) && document.activeElement.dataset.focus;
  node.replaceChildren(...children.flat().filter(Boolean));
  if (held) node.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

/** Say something in words at the bottom of the page. */
export function say(message, { bad = false, action = null, seconds = bad ? 12 : 5 } = {}) {
  const place = document.getElementById("toasts");
  for (const earlier of place.children) if (earlier.dataset.text === message) earlier.remove();
  const toast = el(
    "div", { class: bad ? "toast bad" : "toast", "data-text": message },
    el("p", {}, message),
    action && button(action.words, { kind: "small", onclick: () => { action.run(); toast.remove(); } }),
    iconButton("Dismiss", "close", { kind: "small", onclick: () => toast.remove() }),
  );
  place.append(toast);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => toast.remove(), seconds * 1000);
}

/** Open a dialog; it is removed when it closes. */
export function openDialog(title, body, end = []) {
  const dialog = el(
    "dialog", { "aria-label": title },
    el("div", { class: "dialog-head" }, el("h2", {}, title), iconButton("Close", "close", { onclick: () => dialog.close() })),
    el("div", { class: "dialog-body" }, ...[body].flat(), end.length ? el("div", { class: "dialog-end" }, ...end) : null),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask a question; resolves to whether the answer was yes. */
export function ask(title, text, yes, no) {
  return new Promise((resolve) => {
    let sure = false;
    const go = button(yes, { kind: "primary", id: "yes", onclick: () => { sure = true; dialog.close(); } });
    const stay = button(no, { id: "no", onclick: () => dialog.close() });
    const dialog = openDialog(title, el("p", {}, text), [stay, go]);
    dialog.addEventListener("close", () => resolve(sure));
    stay.focus();
  });
}

/** Copy text, also where the clipboard is closed to the page. */
export async function copyText(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    say(said);
  } catch {
    const area = el("textarea", { readOnly: true, rows: 6, value: text, "aria-label": "Text to copy" });
    openDialog("Copy", [el("p", { class: "soft" }, "The browser did not allow copying. Press Ctrl+C."), area]);
    area.select();
  }
}

/** 75 → "1 min 15 s". */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** "the disk is full" → "The disk is full". */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** "bad-trip" → "Bad trip". */
export function words(name) {
  return sentence(name.replaceAll(/[-_]/g, " "));
}
