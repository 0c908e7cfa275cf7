// The left side: what to paint, and how. Each block is made anew only when what it shows changes.

import { showIn, thumbnail } from "./api.js";
import { blockHead, button, el, icon, iconButton, refill, segments, slider, words } from "./dom.js";
import { draggable, pickFiles } from "./intake.js";
import { leavePainter, openPainter } from "./painter.js";
import { openDrawer } from "./settings.js";
import { trySheet } from "./sheets.js";
import {
  change, choosePreset, draft, isClip, on, presetOf, server, setSetting, setStyles, styleWeights, valueOf,
} from "./state.js";

const SIZES = ["256", "512", "1024", "2048", "original"];

// A dream's strength has no end; the slider bends so that the usual values have most of the room.
const DREAM_MOST = 600;

const KINDS = [
  ["transfer", "Style transfer", "Paint the photo in the style of a picture"],
  ["dream", "Dream", "Exaggerate what a network sees in the photo"],
];

const frozen = new Set();

/** A part of the page that is drawn again when its key changes, but not by its own sliders. */
function block(node, key, draw) {
  let last = null;
  const update = () => {
    const now = JSON.stringify(key());
    if (now === last) return;
    last = now;
    refill(node, draw(quietly));
  };
  const quietly = (run) => {
    frozen.add(update);
    run();
    frozen.delete(update);
    last = JSON.stringify(key());
  };
  const guarded = () => { if (!frozen.has(update)) update(); };
  on("draft", guarded);
  on("ready", guarded);
  guarded();
  return node;
}
function pictureOf(picture, props = {}) {
  const img = el("img", { alt: "", draggable: false, ...props });
  showIn(img, thumbnail(picture.id));
  return img;
}

const plainName = (picture) => words(picture.name.replace(/\.[A-Za-z0-9]+$/, ""));

// Photo

function drawPhoto() {
  const { photo, kind } = draft;
  const noise = kind === "dream" && valueOf("from_noise");
  const what = server.status?.video ? "a photo or a clip" : "a photo";
  if (!photo) {
    return [
      blockHead("Photo"),
      el("button", { type: "button", class: "drop", "data-drop": "photo", "data-focus": "photo", onclick: () => pickFiles("photo") },
        icon("image"), el("span", {}, el("b", {}, "Drop, paste or choose"), el("br"), noise ? `now dreaming on noise, ${noise}` : what)),
      kind === "dream" && el("div", { class: "row hint" },
        button(noise ? "Stop dreaming on noise" : "No photo: dream on noise", {
          kind: "small quiet", onclick: () => setSetting("from_noise", noise ? null : "512x512"),
        })),
    ];
  }
  const regions = draft.mask?.regions.length ?? 0;
  return [
    photo.clip
      ? blockHead("Clip", el("output", {}, `${photo.clip.frames} frames, ${photo.clip.seconds.toFixed(1)} s`))
      : blockHead("Photo", el("output", {}, `${photo.width} × ${photo.height}`)),
    el("div", { class: "photo-card", "data-drop": "photo" },
      pictureOf(photo, { alt: `The ${photo.clip ? "clip" : "photo"} ${photo.name}` }),
      el("div", { class: "strip" },
        el("p", { title: photo.name }, photo.name),
        iconButton("Choose another photo", "image", { kind: "small", "data-focus": "photo", onclick: () => pickFiles("photo") }),
        iconButton(photo.clip ? "Remove the clip" : "Remove the photo", "close", { kind: "small", onclick: async () => { if (await leavePainter()) change({ photo: null }); } }))),
    el("div", { class: "row hint" },
      button(regions ? "Edit the mask" : "Paint a mask", { icon: "brush", kind: "small", id: "mask-button", "data-focus": "mask", onclick: () => openPainter() }),
      regions ? button("Remove it", { kind: "small quiet", onclick: () => change({ mask: null }) }) : null),
  ];
}

// The motion of a clip

function drawMotion(quietly) {
  const { video, cut, format, photo } = draft;
  const coherence = video.coherence ?? defaultOf("coherence");
  const set = (name, value) => {
    const { [name]: _, ...rest } = draft.video;
    change({ video: value === defaultOf(name) ? rest : { ...rest, [name]: value } });
  };
  const output = el("output", {}, coherence.toFixed(2));
  const input = slider({
    id: "coherence", min: 0, max: 1, step: 0.05, value: coherence, "aria-label": "How firmly paint sticks to what moves",
    oninput: () => quietly(() => {
      output.textContent = Number(input.value).toFixed(2);
      set("coherence", Number(input.value));
    }),
  });
  return [
    blockHead("Motion", output), input,
    el("div", { class: "ends" }, el("span", {}, "flickers"), el("span", {}, "paint sticks")),
    el("div", { class: "pair" },
      el("label", {}, el("span", { class: "hint" }, "Paint"), el("select", { "data-focus": "every", onchange: (event) => set("every", Number(event.target.value)) },
        EVERY.map(([value, text]) => el("option", { value, selected: value === (video.every ?? 1) }, text)))),
      el("label", {}, el("span", { class: "hint" }, "Save as"), el("select", { "data-focus": "format", onchange: (event) => change({ format: event.target.value }) },
        FORMATS.map((each) => el("option", { value: each, selected: each === format }, each))))),
    el("div", { class: "pair" }, moment("start", "From, s", "0", cut, photo), moment("end", "To, s", photo.clip.seconds.toFixed(1), cut, photo)),
  ];
}

const EVERY = [[1, "every frame"], [2, "every 2nd frame"], [4, "every 4th frame"]];

const FORMATS = ["mp4", "webm", "gif", "webp", "apng"];

const defaultOf = (name) => server.settings?.video.groups.flatMap(({ settings }) => settings).find((each) => each.name === name)?.default ?? 0.8;

/** A field for the beginning or the end of the part that is painted. */
function moment(name, words, whole, cut, photo) {
  const input = el("input", {
    type: "number", min: 0, max: Math.ceil(photo.clip.seconds), step: 0.1, placeholder: whole, value: cut[name] ?? "", "data-focus": name,
    onchange: () => {
      const { [name]: _, ...rest } = draft.cut;
      change({ cut: input.value === "" ? rest : { ...rest, [name]: Number(input.value) } });
    },
  });
  return el("label", {}, el("span", { class: "hint" }, words), input);
}

// Styles

function drawStyles(quietly) {
  const chosen = draft.styles;
  const sample = (picture) => {
    const pressed = chosen.some(({ id }) => id === picture.id);
    const node = el("button", {
      type: "button", class: "tile", title: plainName(picture), "aria-label": `Style ${plainName(picture)}`,
      "aria-pressed": String(pressed), "data-focus": picture.id,
      onclick: (event) => toggleStyle(picture, event.shiftKey || event.ctrlKey || event.metaKey),
    }, pictureOf(picture), el("span", { class: "tick" }, icon("check")));
    draggable(node, picture);
    return node;
  };
  const samples = server.samples.styles;
  const own = chosen.filter(({ id }) => !samples.some((each) => each.id === id));
  return [
    blockHead("Style", chosen.length > 1 && el("output", {}, `${chosen.length} blended`)),
    el("div", { class: "tiles", "data-drop": "style" },
      el("button", { type: "button", class: "tile add", "data-drop": "style", title: "Add a style image", "aria-label": "Add a style image", "data-focus": "add", onclick: () => pickFiles("style") }, icon("add")),
      own.map(sample), samples.map(sample)),
    chosen.length > 1 ? drawWeights(quietly) : el("p", { class: "hint" }, "Drop your own, or hold Shift to blend several."),
  ];
}

/** Choose a style alone, or add it to the others or take it away from them. */
function toggleStyle(picture, several) {
  const has = draft.styles.some(({ id }) => id === picture.id);
  if (several && !has) setStyles([...draft.styles, picture]);
  else if (has && draft.styles.length > 1) setStyles(draft.styles.filter(({ id }) => id !== picture.id));
  else setStyles([picture]);
}

function drawWeights(quietly) {
  const weights = styleWeights();
  const total = () => styleWeights().reduce((sum, each) => sum + each, 0) || 1;
  const outputs = [];
  const rows = draft.styles.map((style, index) => {
    const output = el("output");
    outputs.push(output);
    const input = slider({
      min: 0, max: 4, step: 0.1, value: weights[index], "aria-label": `Share of ${plainName(style)}`,
      oninput: () => quietly(() => {
        const next = styleWeights();
        next[index] = Number(input.value);
        if (next.some(Boolean)) setStyles(draft.styles, next);
        say();
      }),
    });
    return el("label", {}, pictureOf(style), input, output);
  });
  const say = () => styleWeights().forEach((weight, index) => {
    outputs[index].textContent = `${Math.round((100 * weight) / total())} %`;
  });
  say();
  return el("div", { class: "weights" }, rows);
}

function drawGuide() {
  const { guide } = draft;
  return [
    blockHead("Guide", el("span", { class: "soft" }, "optional")),
    el("div", { class: "tiles", "data-drop": "guide" },
      el("button", { type: "button", class: "tile add", "data-drop": "guide", title: "Add a guide", "aria-label": "Add a guide", onclick: () => pickFiles("guide") }, icon("add")),
      guide && el("button", { type: "button", class: "tile", "aria-pressed": "true", title: `Remove ${guide.name}`, "aria-label": `Remove the guide ${guide.name}`, onclick: () => change({ guide: null }) },
        pictureOf(guide), el("span", { class: "tick" }, icon("close")))),
    el("p", { class: "hint" }, "The dream borrows motifs from this picture."),
  ];
}

// Looks

function drawPresets() {
  const presets = server.presets?.[draft.kind] ?? [];
  const now = presetOf();
  const several = draft.styles.length > 1;
  return [
    blockHead("Preset"),
    el("div", { class: "looks", role: "radiogroup", "aria-label": "Preset" }, presets.map((preset) =>
      el("label", { class: "look", title: preset.description },
        el("input", {
          type: "radio", name: "preset", value: preset.name, checked: preset.name === now?.name,
          "data-focus": preset.name, onchange: () => choosePreset(preset.name), "aria-label": `${words(preset.name)}: ${preset.description}`,
        }),
        el("img", { src: preset.thumbnail ?? "/static/icon.svg", alt: "" }),
        el("span", {}, words(preset.name))))),
    el("p", { class: "hint" }, now?.description ?? ""),
    el("div", { class: "row hint" },
      button("Try all presets", { icon: "grid", kind: "small", id: "try-presets", "data-focus": "tp", onclick: () => trySheet("presets") }),
      button("Try strengths", { kind: "small", id: "try-strengths", "data-focus": "ts", onclick: () => trySheet("strengths") }),
      draft.kind === "transfer" && several && button("Try these styles", { kind: "small", id: "try-styles", onclick: () => trySheet("styles") }),
      draft.kind === "dream" && button("Try channels", { kind: "small", id: "try-channels", disabled: !draft.photo, title: draft.photo ? null : "Add a photo first: channels are those that it excites", onclick: () => trySheet("channels") })),
  ];
}

function drawStrength(quietly) {
  const dream = draft.kind === "dream";
  const byWeight = valueOf("strength") === null && valueOf("content_weight") !== null;
  const value = valueOf("strength") ?? (dream ? 60 : 50);
  const output = el("output", { id: "strength-value" }, byWeight ? "by content weight" : String(Math.round(value)));
  const input = slider({
    id: "strength", min: 0, max: 100, step: 1, "data-focus": "strength", "aria-label": "Strength",
    value: dream ? 100 * Math.sqrt(Math.min(value, DREAM_MOST) / DREAM_MOST) : value,
    oninput: () => quietly(() => {
      const next = dream ? Math.round(DREAM_MOST * (input.value / 100) ** 2) : Number(input.value);
      output.textContent = String(next);
      setSetting("strength", next);
    }),
  });
  return [
    blockHead("Strength", output), input,
    el("div", { class: "ends" }, ...(dream ? ["subtle", "extreme"] : ["photo", "all paint"]).map((each) => el("span", {}, each))),
  ];
}

function drawSize() {
  const size = String(valueOf("size") ?? "512");
  const largest = draft.photo ? Math.max(draft.photo.width, draft.photo.height) : Infinity;
  const capped = /^\d+$/.test(size) && Number(size) > largest && !valueOf("enlarge");
  return [
    blockHead("Size", el("output", {}, /^\d+$/.test(size) ? `${size} px` : size)),
    el("div", { class: "segments", role: "radiogroup", "aria-label": "Size in px" },
      segments("size", SIZES.map((each) => [each, each === "original" ? "Full" : each, each === "original" ? "The size of the photo" : `Long side ${each} px`]), size, (each) => setSetting("size", each))),
    capped && el("label", { class: "row hint" },
      el("input", { type: "checkbox", onchange: () => setSetting("enlarge", true) }), `Enlarge beyond the photo's ${largest} px`),
  ];
}

const COLOUR_WORDS = { style: "Style", luminance: "Photo", match: "Match", palette: "Palette" };

const COLOUR_HINTS = {
  style: "Colours of the style image.",
  luminance: "Colours of the photo, exactly; only light and dark are painted.",
  match: "Colours of the photo, in the strokes of the style.",
  palette: "Colours of the style image, arranged as in the photo.",
  natural: "Colours like those of photos.",
  neon: "Whatever excites the network most.",
};

function drawColours() {
  const dream = draft.kind === "dream";
  const name = dream ? "palette" : "color";
  const found = server.settings?.[draft.kind].groups.flatMap(({ settings }) => settings).find((each) => each.name === name);
  const value = valueOf(name) ?? found?.default;
  return [
    blockHead("Colours"),
    el("div", { class: "segments", role: "radiogroup", "aria-label": "Colours" },
      segments("colour", (found?.choices ?? []).map((each) => [each, dream ? words(each) : COLOUR_WORDS[each] ?? words(each), COLOUR_HINTS[each]]), value, (each) => setSetting(name, each))),
    el("p", { class: "hint" }, COLOUR_HINTS[value] ?? ""),
    dream && el("label", { class: "row hint" },
      el("input", { type: "checkbox", "data-focus": "keep-colors", checked: valueOf("keep_colors"), onchange: (event) => setSetting("keep_colors", event.target.checked) }),
      "Keep the colours of the photo"),
  ];
}

function changedCount() {
  const simple = new Set(["strength", "size", "enlarge", "color", "palette", "keep_colors", "style_weights", "from_noise"]);
  return Object.keys(draft.settings[draft.kind]).filter((name) => !simple.has(name)).length + Object.keys(draft.execution).length + (draft.start ? 1 : 0);
}

function drawMore() {
  const count = changedCount();
  const any = count || Object.keys(draft.settings[draft.kind]).length;
  return el("div", { class: "row" },
    button("All settings", { icon: "more", kind: "grow", id: "all-button", "data-focus": "all", onclick: openDrawer }),
    count > 0 && el("span", { class: "count", title: `${count} changed` }, String(count)),
    any > 0 && button("Reset", { kind: "quiet", title: "Back to the preset", onclick: () => change({ settings: { ...draft.settings, [draft.kind]: {} }, execution: {}, start: null }) }));
}

export function startControls() {
  const kinds = document.getElementById("kind");
  const legend = kinds.querySelector("legend");
  const choose = async (kind) => {
    if (await leavePainter()) change({ kind });
    else kinds.querySelector(`[value=${draft.kind}]`).checked = true;
  };
  block(kinds, () => draft.kind, () => [legend, ...segments("kind", KINDS, draft.kind, choose)]);
  const own = () => draft.settings[draft.kind];
  const place = (key, draw, shown = () => true) => {
    const node = el("section", { class: "block" });
    const hide = () => { node.hidden = !shown(); };
    on("draft", hide);
    hide();
    return block(node, () => [shown(), key()], (quietly) => (shown() ? draw(quietly) : []));
  };
  const presets = () => server.presets?.[draft.kind]?.length;
  document.getElementById("simple").append(
    place(() => [draft.photo?.id, draft.mask, draft.kind, own().from_noise, server.status?.video], drawPhoto),
    place(() => [draft.photo?.id, draft.video, draft.cut, draft.format, Boolean(server.settings)], drawMotion, isClip),
    place(() => [draft.styles, own().style_weights, server.samples.styles.length], drawStyles, () => draft.kind === "transfer"),
    place(() => [draft.guide?.id], drawGuide, () => draft.kind === "dream"),
    place(() => [draft.kind, presets(), draft.preset, draft.styles.length > 1, Boolean(draft.photo)], drawPresets),
    place(() => [draft.kind, presets(), draft.preset, own().strength, own().content_weight], drawStrength),
    place(() => [draft.kind, presets(), draft.preset, own().size, own().enlarge, draft.photo?.id], drawSize),
    place(() => [draft.kind, presets(), draft.preset, own().color, own().palette, own().keep_colors], drawColours),
    place(() => [draft.kind, own(), draft.execution, draft.start?.id], drawMore),
  );
}
