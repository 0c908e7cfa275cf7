// What the page knows: the server's settings, presets, samples and jobs, and the draft of this
// page. The draft is kept for the tab, so that a reload goes on where it was.

const DRAFT = "stylize-draft";
const SESSION = "stylize-session";
const ANSWER_MS = 1000; // in which other tabs answer, also on a busy machine

const listeners = new Map();

/** Call a function whenever something of this name happens. */
export function on(name, run) {
  listeners.set(name, [...(listeners.get(name) ?? []), run]);
}

export function emit(name, detail) {
  for (const run of listeners.get(name) ?? []) run(detail);
}

export const server = {
  status: null, settings: null, presets: null, samples: { photos: [], styles: [] }, engine: null,
  jobs: new Map(),
  steps: new Map(),
  previews: new Map(),
};

function emptyDraft() {
  return {
    kind: "transfer",
    photo: null,
    styles: [],
    guide: null,
    mask: null, // { photo: ID, regions: [{ use: "paint" | "keep" | style picture, mask: ID, colour }] }
    preset: { transfer: null, dream: null },
    settings: { transfer: {}, dream: {} },
    execution: {},
    start: null, // the picture that painting starts from, instead of the photo
    video: {}, // how the frames of a clip follow from each other
    cut: {}, // the part of a clip, in seconds
    format: "mp4", // of a finished clip
  };
}

export const draft = emptyDraft();

// crypto.randomUUID exists only on this machine's own addresses and with HTTPS.
const randomWord = () => crypto.getRandomValues(new BigUint64Array(2)).join("-");

/** The name under which this tab has one live run. */
export let session = sessionStorage.getItem(SESSION) ?? randomWord();
sessionStorage.setItem(SESSION, session);

/**
 * Take another session if an open tab has this one: a duplicated tab begins with a copy of what
 * the first one keeps. Resolves to whether that was so.
 */
export async function claimSession() {
  const me = randomWord();
  const channel = new BroadcastChannel(SESSION);
  const taken = await new Promise((resolve) => {
    channel.addEventListener("message", ({ data: { from, to, wanted } }) => {
      if (to === me) resolve(true);
      else if (wanted === session) channel.postMessage({ from: me, to: from });
    });
    channel.postMessage({ from: me, wanted: session });
    setTimeout(() => resolve(false), ANSWER_MS);
  });
  if (taken) {
    session = randomWord();
    sessionStorage.setItem(SESSION, session);
  }
  return taken;
}

try {
  Object.assign(draft, JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}"));
} catch {
  sessionStorage.removeItem(DRAFT);
}

/** Change the draft; all that depends on it follows. */
export function change(patch) {
  Object.assign(draft, patch);
  if (patch.photo && "from_noise" in draft.settings.dream) {
    const { from_noise: _, ...dream } = draft.settings.dream;
    draft.settings = { ...draft.settings, dream };
  }
  if (draft.mask && draft.mask.photo !== draft.photo?.id) draft.mask = null;
  sessionStorage.setItem(DRAFT, JSON.stringify(draft));
  emit("draft");
}

export function presetOf(kind = draft.kind) {
  const all = server.presets?.[kind] ?? [];
  return all.find((each) => each.name === draft.preset[kind]) ?? all.find((each) => each.is_default) ?? all[0];
}

/** The value that a run would use: the draft's, or the preset's. */
export function valueOf(name, kind = draft.kind) {
  const own = draft.settings[kind];
  return name in own ? own[name] : presetOf(kind)?.values[name] ?? null;
}

function same(a, b) {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

/** Set a setting; undefined or the preset's value means that the preset decides. */
export function setSetting(name, value, kind = draft.kind) {
  const own = { ...draft.settings[kind] };
  if (value === undefined || same(value, presetOf(kind)?.values[name])) delete own[name];
  else own[name] = value;
  if (name === "strength") delete own.content_weight;
  if (name === "content_weight" && value !== undefined) delete own.strength;
  change({ settings: { ...draft.settings, [kind]: own } });
}

export function choosePreset(name) {
  // What the user set by hand stays, except for what the preset itself is about.
  const { kind } = draft;
  const preset = server.presets[kind].find((each) => each.name === name);
  const own = Object.fromEntries(Object.entries(draft.settings[kind]).filter(([key]) => !(key in preset.settings)));
  change({ preset: { ...draft.preset, [kind]: name }, settings: { ...draft.settings, [kind]: own } });
}

export function styleWeights() {
  const weights = valueOf("style_weights", "transfer") ?? [];
  return draft.styles.map((_, index) => weights[index] ?? 1);
}

/** Replace the style images, and keep the weight of each that stays. */
export function setStyles(styles, weights = null) {
  const old = new Map(draft.styles.map((style, index) => [style.id, styleWeights()[index]]));
  const shares = weights ?? styles.map((style) => old.get(style.id) ?? 1);
  const own = { ...draft.settings.transfer };
  delete own.style_weights;
  if (own.style_parts && own.style_parts.length !== styles.length) delete own.style_parts;
  if (styles.length > 1 && shares.some((share) => share !== shares[0])) own.style_weights = shares;
  change({ styles, settings: { ...draft.settings, transfer: own } });
}

/** Whether the draft has all that a run needs; otherwise what is missing, in words. */
export function missing() {
  const regions = draft.mask?.regions.some((each) => typeof each.use === "object");
  if (draft.kind === "dream") return draft.photo || valueOf("from_noise") ? null : "photo";
  if (!draft.photo) return "photo";
  return draft.styles.length || regions ? null : "style";
}

/** Whether the photo is a clip. */
export const isClip = () => Boolean(draft.photo?.clip);

/** The draft as a job request; of a clip, the request for the whole clip. */
export function jobRequest(changes = {}) {
  const request = stillRequest(changes);
  if (!isClip()) return request;
  const { kind, photo, start, ...rest } = request;
  const clip = { ...rest, kind: `video-${kind}`, clip: photo };
  if (Object.keys(draft.video).length) clip.video = { ...draft.video };
  if (Object.keys(draft.cut).length) clip.cut = { ...draft.cut };
  if (draft.format !== "mp4") clip.format = draft.format;
  return clip;
}

/** The same of a picture; of a clip, its first frame. */
export function stillRequest(changes = {}) {
  const { kind } = draft;
  const request = { kind, settings: { ...draft.settings[kind], ...changes } };
  const preset = presetOf();
  if (preset && !preset.is_default) request.preset = preset.name;
  if (draft.photo) request.photo = draft.photo.id;
  if (kind === "transfer" && draft.start) {
    request.start = draft.start.id;
    delete request.settings.init;
  }
  if (kind === "transfer") request.styles = draft.styles.map((each) => each.id);
  if (kind === "dream" && draft.guide) request.guide = draft.guide.id;
  if (Object.keys(draft.execution).length) request.execution = { ...draft.execution };
  for (const { use, mask, colour } of draft.mask?.regions ?? []) {
    if (use === "paint") request.mask = mask;
    else if (kind === "dream") continue;
    else if (use === "keep" && !colour && !request.keep) request.keep = mask;
    else request.regions = [...(request.regions ?? []), { mask, style: use.id ?? use, ...(colour && { colour }) }];
  }
  return request;
}

/** Remember something small for this tab. */
export const memory = {
  get: (key) => { try { return JSON.parse(sessionStorage.getItem(`stylize-${key}`)); } catch { return null; } },
  set: (key, value) => sessionStorage.setItem(`stylize-${key}`, JSON.stringify(value)),
};
