// Keyboard shortcuts, and the list that "?" shows. No shortcut acts while text is typed.

import { el, openDialog } from "./dom.js";

const shortcuts = [];

/**
 * Add a shortcut: the key as KeyboardEvent.key says it, and what it does in words. With the id of a
 * button it does nothing while that is disabled or hidden.
 */
export function shortcut(key, words, run, id = null) {
  shortcuts.push({ key, words, run, id });
}

function isOff(id) {
  const node = id && document.getElementById(id);
  return Boolean(node) && (node.disabled || node.closest("[hidden]") !== null);
}

function shown(key) {
  return { " ": "Space", ArrowLeft: "←", ArrowRight: "→" }[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}

export function showShortcuts() {
  if (document.querySelector("dialog[open]")) return;
  const rows = shortcuts.flatMap(({ key, words }) => [el("dt", {}, el("kbd", {}, shown(key))), el("dd", {}, words)]);
  openDialog("Keyboard shortcuts", [
    el("dl", { class: "shortcuts" }, ...rows),
    el("p", { class: "soft" }, "Tab moves between controls, arrow keys change them. Ctrl+V pastes a picture."),
  ]);
}

function isTyping(target) {
  if (target.isContentEditable || target.closest("dialog")) return true;
  return target.matches("textarea, select") || (target.matches("input") && !target.matches("[type=radio], [type=checkbox], [type=range]"));
}

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    const found = shortcuts.find(({ key }) => key.toLowerCase() === event.key.toLowerCase());
    if (!found || (event.key === " " && event.target.matches("button, input, summary, a"))) return;
    event.preventDefault();
    if (!isOff(found.id)) found.run();
  });
}
