// The centre of the page: the picture that grows, a result, two results side by side, or a sheet.

import { cellPicture, jobPreview, showIn, thumbnail, view } from "./api.js";
import { formatOf, isPreview, ofClip, planWords, play, previewStrip, renderFrame } from "./clip.js";
import { button, duration, el, icon, say, sentence, words } from "./dom.js";
import { pickFiles, usePictures } from "./intake.js";
import { leavePainter, painterIsOpen } from "./painter.js";
import { draft, emit, memory, missing, on, server, setStyles } from "./state.js";
import { liveIsLost, liveJob } from "./live.js";
import { actions } from "./actions.js";

/** What is shown: { type: "live" | "job" | "picture" | "pair" | "sheet", … }. */
export let shown = memory.get("shown") ?? { type: "live" };

// Results up to these are shown exactly; the server sends no side that is longer.
const FULL_PIXELS = 12e6, MOST_SIDE = 4096;

let comparing = false;
let actual = false;
const parts = {};

export function show(next) {
  if (next.type !== "live" && painterIsOpen()) {
    leavePainter().then((left) => { if (left) show(next); });
    return;
  }
  shown = next;
  memory.set("shown", next);
  emit("shown");
  render();
}

/** The job on the stage, if it is one. */
export function shownJob() {
  if (shown.type === "live") return liveJob();
  return shown.type === "job" || shown.type === "sheet" ? server.jobs.get(shown.id) ?? null : null;
}

/** The finished picture on the stage as { id, name }, if there is one. */
export function shownResult() {
  if (shown.type === "picture") return shown.item;
  if (shown.type === "pair") return shown.items[1];
  const job = shownJob();
  return job?.result ? { id: job.result, width: job.width, height: job.height } : null;
}

export function toggleCompare() {
  if (!canCompare()) return;
  comparing = !comparing;
  render();
  if (comparing) parts.cut.focus({ preventScroll: true });
}

export function toggleActual() {
  actual = !actual;
  render();
}

const canCompare = () => Boolean(beforeId()) && !["pair", "sheet"].includes(shown.type);

function beforeId() {
  if (shown.type === "pair") return shown.items[0].id;
  if (shown.type === "picture") return shown.photo ?? null;
  return shownJob()?.request.photo ?? null;
}

export function startStage() {
  const node = document.getElementById("view");
  parts.view = node;
  parts.result = el("img", { class: "result", alt: "", draggable: false, decoding: "sync" });
  parts.player = el("video", { class: "result", id: "player", controls: true, loop: true, muted: true, autoplay: true, playsInline: true, hidden: true });
  parts.before = el("img", { class: "before", alt: "", draggable: false });
  parts.cut = el("input", {
    class: "cut", type: "range", min: 0, max: 100, step: 0.5, value: 50, "aria-label": "Before and after",
    oninput: () => setCut(parts.cut.value),
  });
  parts.divider = el("div", { class: "divider" });
  parts.left = el("span", { class: "tag left" });
  parts.right = el("span", { class: "tag right" });
  parts.picture = el("div", { class: "picture", id: "picture" },
    parts.result, parts.player, parts.before, parts.cut, parts.divider, parts.left, parts.right);
  parts.frame = el("div", { class: "frame" }, parts.picture);
  parts.other = el("div", { class: "other" });
  node.append(parts.frame, parts.other, actions.tools);
  setCut(50);
  startStatus();
  on("draft", render);
  on("jobs", render);
  on("ready", render);
  on("step", (step) => { if (step.id === shownJob()?.id) renderStatus(); });
  on("preview", ({ id, index }) => {
    const job = shownJob();
    if (id !== job?.id) return;
    if (isPreview(job)) renderFrame(job, index);
    else renderPicture();
  });
  on("cell", ({ id, index }) => {
    const job = shownJob();
    if (id !== job?.id) return;
    if (isPreview(job)) renderFrame(job, index);
    else if (shown.type === "sheet") renderCell(index);
  });
  on("trouble", (error) => say(error.words ?? error.message, { bad: true }));
  on("history", ({ id, removed }) => {
    const pictures = { picture: [shown.item], pair: shown.items }[shown.type] ?? [];
    if (!removed || !pictures.some((each) => each.id === id)) return;
    if (!document.getElementById("confirm-delete")) say("The result that was shown here was deleted.");
    show({ type: "live" });
  });
  render();
}

function setCut(percent) {
  parts.picture.style.setProperty("--cut", `${percent}%`);
}

function render() {
  if (!parts.view) return;
  if ((shown.type === "job" || shown.type === "sheet") && server.connected && !server.jobs.has(shown.id)) {
    shown = { type: "live" };
  }
  const welcome = shown.type === "live" && !draft.photo && !liveJob() && missing() !== null;
  const preview = isPreview(shownJob());
  const sheet = shown.type === "sheet" || preview;
  document.getElementById("stage").classList.toggle("empty", welcome);
  parts.frame.hidden = welcome || sheet;
  actions.tools.hidden = welcome || sheet;
  parts.view.classList.toggle("strip", preview);
  parts.view.classList.toggle("actual", actual && !welcome && !sheet);
  if (welcome) renderWelcome();
  else if (preview) renderPreview();
  else if (sheet) renderSheet();
  else {
    parts.other.replaceChildren();
    parts.otherKey = null;
    renderPicture();
  }
  renderStatus();
}

function renderPreview() {
  const node = previewStrip(shownJob());
  if (parts.other.firstChild !== node) parts.other.replaceChildren(node);
  parts.otherKey = null;
}

// The picture

function aspect() {
  const of = (each) => (each?.width && each?.height ? each.width / each.height : null);
  if (shown.type === "pair" || shown.type === "picture") return of(shownResult()) ?? 1.5;
  const job = shownJob();
  return of(job) ?? of(server.steps.get(job?.id)) ?? of(draft.photo) ?? 1;
}

function renderPicture() {
  const job = shownJob();
  const result = shownResult();
  parts.view.style.setProperty("--ratio", aspect());
  const pixels = result?.width ?? job?.width ?? draft.photo?.width;
  parts.picture.style.setProperty("--pixels", `${pixels ?? 0}px`);
  parts.picture.classList.toggle("pending", Boolean(job) && !result);
  showResult(job, result);
  const pair = shown.type === "pair";
  const both = pair || (comparing && Boolean(beforeId()));
  for (const each of [parts.before, parts.cut, parts.divider, parts.left, parts.right]) each.hidden = !both;
  if (both) {
    const id = beforeId();
    if (parts.before.dataset.id !== id) {
      parts.before.dataset.id = id;
      showIn(parts.before, view(id));
    }
    parts.left.textContent = pair ? shown.items[0].name : "Photo";
    parts.right.textContent = pair ? shown.items[1].name : "Result";
  }
}

/** The format of the clip that is shown; null for a picture. */
function clipFormat(job) {
  if (shown.type === "picture") return shown.item.clip ? formatOf(shown.item.type) : null;
  return shown.type !== "pair" && ofClip(job) ? job.request.format ?? "mp4" : null;
}

function showResult(job, result) {
  const { result: img, player } = parts;
  const clip = result && clipFormat(job);
  if (clip) {
    img.dataset.shows = result.id;
    img.dataset.photo = "";
    play(player, img, result.id, clip);
    return;
  }
  player.hidden = true;
  player.pause();
  img.hidden = false;
  if (result) {
    if (img.dataset.shows === result.id) return;
    img.dataset.shows = result.id;
    img.dataset.photo = job?.request.photo ?? "";
    const large = (result.width ?? 0) * (result.height ?? 0) > FULL_PIXELS;
    const side = large ? 3000 : Math.min(MOST_SIDE, Math.max(result.width ?? 1600, result.height ?? 1600));
    showIn(img, view(result.id, side, large ? "jpeg" : "png"), (error) => emit("trouble", error));
    img.alt = `Result ${result.name ?? ""}`.trim();
    return;
  }
  const preview = job && server.previews.get(job.id);
  if (preview) {
    img.coming = null;
    img.src = preview;
    img.dataset.shows = job.id;
    img.dataset.photo = job.request.photo ?? "";
    img.alt = "Preview of the running job";
    return;
  }
  if (job && ["running", "stopping"].includes(job.state) && shown.type === "job" && img.dataset.shows !== job.id) {
    img.dataset.shows = job.id;
    showIn(img, jobPreview(job.id).catch(() => view(job.request.photo ?? job.request.clip)));
    return;
  }
  // Until the first preview: the earlier picture of the same photo, or the photo.
  const photo = job?.request.photo ?? job?.request.clip ?? draft.photo?.id;
  const keeps = job && img.dataset.photo === photo && img.getAttribute("src");
  img.dataset.photo = photo ?? "";
  if (keeps || img.dataset.shows === photo) return;
  img.dataset.shows = photo ?? "";
  img.alt = "The photo";
  if (photo) showIn(img, view(photo));
  else img.removeAttribute("src");
}

// Before anything is chosen

function sampleTile(picture, onclick) {
  const img = el("img", { alt: "" });
  showIn(img, thumbnail(picture.id));
  const name = words(picture.name.replace(/\.[a-z]+$/, ""));
  return el("button", { type: "button", class: "tile", title: name, "aria-label": `Sample: ${name}`, onclick }, img);
}

function renderWelcome() {
  const key = `welcome ${draft.kind} ${server.samples.photos.length} ${server.status?.video}`;
  if (parts.otherKey === key) return;
  parts.otherKey = key;
  const dream = draft.kind === "dream";
  const { photos, styles } = server.samples;
  parts.other.replaceChildren(el("div", { class: "welcome" }, el("div", {},
    el("h2", {}, dream ? "Let a network dream on your photo" : "Paint your photo like a picture you love"),
    el("p", { class: "lead" }, dream
      ? "Add a photo. The dream begins at once, and you watch it grow."
      : "Add a photo and a style image. Painting begins at once, and you watch it grow."),
    el("button", { type: "button", class: "drop", "data-drop": "photo", onclick: () => pickFiles("photo") },
      icon("image"), el("span", {}, el("b", {}, server.status?.video ? "Drop a photo or a clip here" : "Drop a photo here"), ", paste it, or click to choose a file")),
    photos.length > 0 && el("h3", {}, "Or begin with a sample"),
    el("div", { class: "samples" }, photos.map((photo) => sampleTile(photo, () => usePictures([photo], "photo")))),
    !dream && styles.length > 0 && el("h3", {}, draft.styles.length ? "Style chosen. Now add a photo." : "Styles to try"),
    !dream && el("div", { class: "samples square" }, styles.map((style) => sampleTile(style, () => setStyles([style])))),
  )));
}

// Progress in words, and the buttons

function startStatus() {
  const node = document.getElementById("status");
  parts.bar = el("div", {
    class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100,
  }, el("div"));
  parts.first = el("p", { id: "said" });
  parts.second = el("p", { class: "soft", id: "said-more" });
  parts.said = el("div", { class: "said" }, parts.first, parts.second);
  parts.live = el("p", { class: "hidden", role: "status" });
  node.append(parts.bar, el("div", { class: "status-row" }, parts.said, actions.node), parts.live);
}

function lookOf(request) {
  if (!request) return "";
  const kind = request.kind.replace("video-", "");
  const byDefault = server.presets?.[kind]?.find((each) => each.is_default)?.name;
  const said = [words(request.preset ?? byDefault ?? kind)];
  if (request.settings?.strength !== undefined) said.push(`strength ${request.settings.strength}`);
  return said.join(", ");
}

/** What happens, in two short lines. */
function report() {
  if (shown.type === "pair") return ["Comparing two results", `${shown.items[0].name} and ${shown.items[1].name}`];
  if (shown.type === "picture") {
    const { name, width, height, preset, styles = [], clip } = shown.item;
    const about = [width && `${width} × ${height} px`, clip && `${clip.frames} frames, ${clip.seconds.toFixed(1)} s`, preset && words(preset), styles.join(", ")].filter(Boolean);
    return [name, about.join(" · ")];
  }
  const job = shownJob();
  if (!job) {
    if (server.problem && shown.type === "live") return [server.problem, "Change the settings to try again.", true];
    const lacks = missing();
    if (lacks === "photo") return ["Add a photo to begin", "Or begin with a sample."];
    if (lacks === "style") return ["Now choose a style image", "Drop one, or click a sample."];
    if (shown.type === "live" && liveIsLost()) return ["Ended without a picture", "Change a setting to begin again."];
    return ["Getting ready", ""];
  }
  const size = job.width ? `${job.width} × ${job.height} px` : "";
  const notes = (job.notes ?? []).join(" · ");
  if (job.state === "failed") {
    const { message = "the run failed", hint } = job.error ?? {};
    return [sentence(message), sentence(hint ?? ""), true];
  }
  if (job.state === "done" && job.kind === "sheet") return ["Sheet finished", "Click a picture to make it large."];
  if (job.state === "done" && isPreview(job)) {
    return [job.interrupted ? "Preview stopped" : "Preview finished", [planWords(job), notes].filter(Boolean).join(" · ")];
  }
  if (job.state === "done") {
    const took = job.started && job.finished ? ` in ${duration(job.finished - job.started)}` : "";
    return [job.interrupted ? "Stopped and kept" : `Finished${took}`, [size, lookOf(job.request), notes].filter(Boolean).join(" · ")];
  }
  if (job.state === "cancelled") return ["Cancelled", ""];
  if (job.state === "queued") return [job.position > 1 ? `Waiting, number ${job.position} in the queue` : "Waiting to begin", lookOf(job.request)];
  if (job.kind === "sheet") {
    const finished = (job.cells ?? []).filter((cell) => cell.state !== "queued").length;
    return ["Painting the sheet", job.cells ? `${finished} of ${job.cells.length} finished` : ""];
  }
  if (job.state === "stopping") return ["Stopping after this step", size];
  const step = server.steps.get(job.id) ?? job.progress;
  if (!step) return ["Starting", lookOf(job.request)];
  const verb = job.request.kind.endsWith("dream") ? "Dreaming" : "Painting";
  const scale = step.frames ? `, frame ${step.frame} of ${step.frames}` : isPreview(job) ? `${verb === "Dreaming" ? " on" : ""} three frames` : step.scales > 1 ? `, size ${step.scale} of ${step.scales}` : "";
  const left = step.seconds_left ?? null;
  return [
    `${verb}${scale} · ${Math.floor(100 * step.fraction)} %`,
    [left !== null && (left < 1 ? "less than a second left" : `${duration(left)} left`), size, notes].filter(Boolean).join(" · "),
  ];
}

function renderStatus() {
  const job = shownJob();
  const [first, second, bad] = report();
  parts.first.textContent = first;
  parts.second.textContent = second;
  parts.second.title = second;
  parts.said.classList.toggle("bad", Boolean(bad));
  const running = job && ["running", "stopping"].includes(job.state);
  const share = running ? (server.steps.get(job.id) ?? job.progress)?.fraction ?? 0 : 0;
  parts.bar.classList.toggle("done", !running);
  parts.bar.style.setProperty("--share", running ? share : job?.state === "done" ? 1 : 0);
  parts.bar.setAttribute("aria-valuenow", Math.round(100 * share));
  const spoken = running ? "Painting" : first;
  if (parts.live.textContent !== spoken) parts.live.textContent = spoken;
  actions.update({ comparing, actual, canCompare: canCompare() });
}

// Sheets

function renderSheet() {
  const job = server.jobs.get(shown.id);
  const key = `sheet ${shown.id} ${job?.cells?.length}`;
  if (parts.otherKey !== key) {
    parts.otherKey = key;
    const ratio = draft.photo ? draft.photo.width / draft.photo.height : 1.5;
    parts.cells = (job?.cells ?? []).map((cell, index) => {
      const img = el("img", { alt: "" });
      const node = el("button", { type: "button", class: "cell", onclick: () => useCell(job.id, index), title: "Make this one large" },
        el("div", { class: "thumb" }, img),
        el("div", { class: "caption" }, el("b", {}, words(cell.label)), el("span", { class: "soft" })));
      if (draft.photo) {
        img.className = "faint";
        showIn(img, thumbnail(draft.photo.id));
      }
      return { node, img, note: node.querySelector(".soft"), has: false };
    });
    parts.other.replaceChildren(el("div", { class: "sheet", vars: { "--aspect": ratio } },
      el("div", { class: "sheet-head" },
        el("h2", {}, sheetTitle(job)),
        button("Back to the picture", { icon: "back", kind: "small", onclick: () => show({ type: "live" }) })),
      el("div", { class: "cells" }, parts.cells.map(({ node }) => node))));
  }
  (job?.cells ?? []).forEach((_, index) => renderCell(index));
}

function sheetTitle(job) {
  return {
    presets: "All presets", strengths: "Strengths", styles: "Your styles", channels: "Channels this photo excites",
  }[job?.request.try] ?? "Sheet";
}

function renderCell(index) {
  const cell = server.jobs.get(shown.id)?.cells?.[index];
  const part = parts.cells?.[index];
  if (!cell || !part) return;
  part.note.textContent = { queued: "waiting", failed: "failed", done: "" }[cell.state] ?? "";
  if (cell.state === "failed") part.node.title = cell.error?.message ?? "This one failed";
  if (cell.state === "done" && !part.has) {
    part.has = true;
    part.img.className = "";
    part.img.alt = cell.label;
    showIn(part.img, cellPicture(shown.id, index));
  }
}

function useCell(id, index) {
  const cell = server.jobs.get(id)?.cells?.[index];
  if (!cell) return;
  emit("use-request", { request: cell.request, keepSize: true });
  show({ type: "live" });
}

