// "All settings": a form made from the server's description of the settings, in the groups of --help.

import { el, iconButton, refill, words } from "./dom.js";
import { showIn, thumbnail } from "./api.js";
import { pickFiles } from "./intake.js";
import { change, draft, isClip, on, server, setSetting, valueOf } from "./state.js";

let open = false;
let fields = [];
let key = null;

// The value of each setting in the form, wherever it is kept.
const getters = new Map();

const FACTS = {
  "several styles": () => draft.styles.length > 1,
  guide: () => Boolean(draft.guide),
  masks: () => Boolean(draft.mask),
  photo: () => Boolean(draft.photo),
  film: () => false,
};

const FACT_WORDS = { "several styles": "several style images", guide: "a guide", masks: "a mask", photo: "a photo", film: "a film" };

// Not settings themselves, but they follow from some.
const DERIVED = {
  coarse_style_parts: () => {
    const weights = valueOf("style_weights") ?? [];
    const parts = (valueOf("style_parts") ?? []).filter((_, i) => weights[i] !== 0);
    return !parts.length || parts.some((part) => part !== "fine");
  },
  several_octaves: () => valueOf("octaves") > 1,
  content_loss_weight: () => valueOf("strength") !== 100 && valueOf("content_weight") !== 0,
  deep_style_layers: () => Object.entries(valueOf("style_layers") ?? {}).some(([layer, weight]) => weight && Number(layer[4]) >= 5),
};

function holds([name, values]) {
  if (name in FACTS) return FACTS[name]();
  if (name in DERIVED) return DERIVED[name]();
  const value = getters.get(name)?.() ?? valueOf(name);
  return values.length ? values.includes(value) : Boolean(value);
}

function needed(needs) {
  return Object.entries(needs).map(([name, values]) =>
    FACT_WORDS[name] ?? [words(name).toLowerCase(), ...values].join(" ")).join(" or ");
}

/** What painting starts from: the setting "init", or a picture of one's own. */
const start = {
  get: () => (draft.start ? "file" : valueOf("init")),
  own: () => Boolean(draft.start) || "init" in draft.settings[draft.kind],
  set: (value) => {
    if (value === "file") pickFiles("start");
    else {
      if (draft.start) change({ start: null });
      setSetting("init", value);
    }
  },
};

/** Where a group's values are kept: with the kind, with what holds for all kinds, or with clips. */
function access(setting, place) {
  if (setting.name === "init") return start;
  if (!place) {
    return {
      get: () => valueOf(setting.name),
      own: () => setting.name in draft.settings[draft.kind],
      set: (value) => setSetting(setting.name, value),
    };
  }
  return {
    get: () => draft[place][setting.name] ?? setting.default,
    own: () => setting.name in draft[place],
    set: (value) => {
      const next = { ...draft[place] };
      if (value === undefined || value === setting.default) delete next[setting.name];
      else next[setting.name] = value;
      change({ [place]: next });
    },
  };
}

const toText = {
  layers: (value) => Object.entries(value ?? {}).map(([layer, weight]) => `${layer} ${weight}`).join(", "),
  numbers: (value) => (value ?? []).join(", "),
  texts: (value) => (value ?? []).join(", "),
};

const fromText = {
  layers: (text) => Object.fromEntries(text.split(",").filter((each) => each.trim()).map((each) => {
    const [layer, weight = "1"] = each.trim().split(/[\s=:]+/);
    return [layer, Number(weight)];
  })),
  numbers: (text) => text.split(",").filter((each) => each.trim()).map(Number),
  texts: (text) => text.split(",").map((each) => each.trim()).filter(Boolean),
};

function control(setting, at, id) {
  const { type, choices, low, high, above, nullable, default_text: byDefault } = setting;
  if (type === "boolean") {
    const input = el("input", { type: "checkbox", id, onchange: () => at.set(input.checked) });
    return { input, refresh: () => { input.checked = Boolean(at.get()); } };
  }
  if (type === "choice") {
    const input = el("select", { id, onchange: () => { at.set(input.value === "" ? (at.own() ? undefined : null) : input.value); input.value = at.get() ?? ""; } },
      nullable && el("option", { value: "" }, byDefault ?? "none"), (choices ?? []).map((each) => el("option", { value: each }, each)));
    return { input, refresh: () => { input.value = at.get() ?? ""; } };
  }
  const number = type === "integer" || type === "number";
  const input = el("input", {
    type: number ? "number" : "text", id, spellcheck: false, autocomplete: "off",
    min: low ?? above, max: high, step: number ? (type === "integer" ? 1 : "any") : null,
    placeholder: byDefault ?? setting.metavar ?? "",
    oninput: () => {
      if (input.value.trim() === "") at.set(undefined);
      else if (!input.checkValidity()) return;
      else if (number) at.set(Number(input.value));
      else at.set(fromText[type]?.(input.value) ?? input.value.trim());
    },
  });
  const refresh = (force = false) => {
    // What is not allowed stays to be corrected, next to what is.
    if (!force && (document.activeElement === input || !input.validity.valid)) return;
    const value = at.get();
    input.value = toText[type]?.(value) ?? (value ?? "");
  };
  return { input, refresh };
}

function range({ low, high, above }) {
  if (low !== null && high !== null) return `${low} to ${high > 1e6 ? "any" : high}`;
  if (above !== null && above !== undefined) return high !== null ? `above ${above}, at most ${high}` : `above ${above}`;
  return "";
}

/** The picture that painting starts from, to be chosen or dropped. */
function startPicture() {
  const img = el("img", { alt: "" });
  const tile = el("button", { type: "button", class: "tile", id: "start-picture", "data-drop": "start", "aria-label": "Choose another picture to start from", onclick: () => pickFiles("start") }, img);
  return {
    tile,
    update() {
      tile.hidden = !draft.start;
      if (draft.start) tile.title = draft.start.name;
      if (draft.start && img.dataset.shows !== draft.start.id) showIn(img, thumbnail(draft.start.id));
      img.dataset.shows = draft.start?.id ?? "";
    },
  };
}

function field(setting, place) {
  const at = access(setting, place);
  getters.set(setting.name, at.get);
  const picture = setting.name === "init" && startPicture();
  const id = `setting-${setting.name}`;
  const { input, refresh } = control(setting, at, id);
  const help = el("p", { class: "help", id: `${id}-help` }, setting.help);
  const without = el("p", { class: "help" });
  const wrong = el("p", { class: "wrong", role: "alert" });
  input.setAttribute("aria-describedby", help.id);
  const reset = iconButton(`Reset ${words(setting.name).toLowerCase()}`, "undo", { kind: "small", onclick: () => { at.set(undefined); refresh(true); } });
  const label = el("label", { for: id }, words(setting.name));
  const node = el("div", { class: "field", "data-setting": setting.name },
    setting.type === "boolean"
      ? el("div", { class: "name" }, el("span", { class: "check" }, input, label), reset)
      : el("div", { class: "name" }, label, reset),
    setting.type === "boolean" ? null : input, picture && picture.tile, help, without, wrong);
  const update = () => {
    refresh();
    if (picture) picture.update();
    const own = at.own();
    node.classList.toggle("changed", own);
    reset.style.visibility = own ? "visible" : "hidden";
    const needs = Object.entries(setting.needs ?? {});
    const idle = needs.length > 0 && !needs.some(holds);
    const unused = isClip() && (setting.name === "grain" ? "Clips have no grain." : picture && draft.start ? "A clip starts from its own frames." : "");
    without.textContent = unused || (idle ? `No effect without ${needed(setting.needs)}.` : "");
    without.hidden = !idle && !unused;
    const invalid = input.validity && !input.validity.valid && document.activeElement !== input;
    wrong.textContent = server.problemField === setting.name ? server.problem : invalid ? `Allowed: ${range(setting)}` : "";
    input.setAttribute("aria-invalid", String(Boolean(wrong.textContent)));
  };
  input.addEventListener("blur", update);
  const searched = `${setting.name} ${words(setting.name)} ${setting.help} ${setting.option ?? ""}`.toLowerCase();
  return { node, update, searched };
}

function draw() {
  const place = document.getElementById("all-settings");
  const now = `${draft.kind} ${server.settings ? 1 : 0} ${isClip()}`;
  if (key === now || !server.settings) return;
  key = now;
  fields = [];
  getters.clear();
  const search = el("input", {
    type: "search", placeholder: "Find a setting", "aria-label": "Find a setting", oninput: () => filter(search.value),
  });
  const groups = [
    ...server.settings[draft.kind].groups.map((group) => [group, null]),
    ...(isClip() ? server.settings.video.groups.map((group) => [group, "video"]) : []),
    ...server.settings.execution.groups.map((group) => [group, "execution"]),
  ];
  const nodes = groups.map(([group, place], index) => {
    const own = group.settings.map((setting) => field(setting, place));
    fields.push(...own);
    return el("details", { class: "group", open: index < 3 }, el("summary", {}, group.name), el("div", { class: "fields" }, own.map(({ node }) => node)));
  });
  refill(place,
    el("div", { class: "drawer-head" },
      el("div", { class: "row" },
        iconButton("Back", "back", { onclick: closeDrawer, id: "drawer-back" }), el("h2", {}, "All settings")),
      search),
    ...nodes);
  update();
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const { node, searched } of fields) node.hidden = !searched.includes(wanted);
  for (const group of document.querySelectorAll("#all-settings .group")) {
    const any = [...group.querySelectorAll(".field")].some((each) => !each.hidden);
    group.hidden = !any;
    if (wanted && any) group.open = true;
  }
}

function update() {
  if (open) for (const each of fields) each.update();
}

export function openDrawer() {
  open = true;
  draw();
  document.getElementById("simple").hidden = true;
  document.getElementById("all-settings").hidden = false;
  document.getElementById("controls").scrollTop = 0;
  update();
  document.getElementById("drawer-back").focus();
}

export function closeDrawer() {
  open = false;
  document.getElementById("all-settings").hidden = true;
  document.getElementById("simple").hidden = false;
  document.getElementById("all-button")?.focus();
}

export function toggleDrawer() {
  if (open) closeDrawer();
  else openDrawer();
}

export function startSettings() {
  on("draft", () => { if (open) { draw(); update(); } });
  on("problem", update);
  on("ready", () => { if (open) draw(); });
}
