// The buttons under the picture. All of them stay in place; those that do not apply are disabled.

import { api } from "./api.js";
import { button, copyText, el, iconButton, say } from "./dom.js";
import { lostWords, recall } from "./intake.js";
import { chooseCell } from "./cells.js";
import { ofClip } from "./clip.js";
import { deleteResult } from "./delete.js";
import { draft, isClip, jobRequest, missing, server } from "./state.js";
import { show, shown, shownJob, shownResult, toggleActual, toggleCompare } from "./stage.js";

function trying(run) {
  return async (...args) => {
    try {
      await run(...args);
    } catch (error) {
      say(error.words ?? error.message, { bad: true });
    }
  };
}

export const stop = trying(async () => {
  const job = shownJob();
  if (job?.state === "running") await api.stop(job.id);
});

/** How the shown picture was made, or one of the cells of a contact sheet; null if none was chosen. */
async function recalled() {
  const { item } = shown;
  const cell = item.cells ? await chooseCell(item) : null;
  if (item.cells && !cell) return null;
  const found = await api.recall(item.id, cell);
  if (found.missing.length) throw new Error(`${lostWords(found.missing)} Add it to the page, then try again.`);
  return found;
}

/** The request of what is shown: of the picture, of the job, or of the draft; null if none was chosen. */
async function shownRequest() {
  if (shown.type === "picture") return (await recalled())?.request ?? null;
  const { live, session, preview, ...request } = shown.type === "job" ? shownJob().request : jobRequest();
  return request;
}

async function enqueue(request, said) {
  const job = await api.submit({ ...request, live: false });
  server.jobs.set(job.id, job);
  say(said, { action: { words: "Show", run: () => show({ type: "job", id: job.id }) } });
}

export const addToQueue = trying(async () => {
  if (shown.type !== "picture" && missing()) return;
  const request = await shownRequest();
  if (request) await enqueue(request, request.clip ? "The clip was added to the queue." : "Added to the queue.");
});

function photoSide() {
  return draft.photo ? Math.max(draft.photo.width, draft.photo.height) : 0;
}

export const fullSize = trying(async () => {
  const request = await shownRequest();
  if (!request?.photo) return;
  const photo = await api.picture(request.photo);
  await enqueue(
    { ...request, settings: { ...request.settings, size: "original" } },
    `Added to the queue at full size, ${photo.width} × ${photo.height} px.`,
  );
});

export const save = trying(async () => {
  const result = shownResult();
  if (!result) return;
  const [blob, { name }] = await Promise.all([api.file(result.id), api.picture(result.id)]);
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  say(`Saved ${name} with its recipe.`);
});

function copier(kind, said) {
  return trying(async () => {
    if (shown.type === "picture") {
      const texts = await recalled();
      if (texts) await copyText(texts[kind], said);
      return;
    }
    if (shown.type === "live" && missing()) return;
    await copyText((await api.command(await shownRequest()))[kind], said);
  });
}

export const copyCommand = copier("command", "Copied the command for a shell.");
export const copyPython = copier("python", "Copied the Python program.");

export const recallShown = trying(async () => {
  if (shown.type === "picture") await recall(shown.item);
});

export const deleteShown = trying(async () => {
  if (shown.type !== "picture" || document.querySelector("dialog[open]")) return;
  const { item } = shown;
  if (await deleteResult(item) && shown.type === "picture" && shown.item.id === item.id) show({ type: "live" });
});

const buttons = {
  stop: button("Stop and keep", { icon: "stop", onclick: () => stop(), title: "End now and keep the picture so far (X)", id: "stop" }),
  recall: button("Use its settings", { icon: "recall", onclick: () => recallShown(), title: "Recall the settings and inputs of this picture (R)", id: "recall" }),
  remove: iconButton("Delete (Del)", "trash", { onclick: () => deleteShown(), id: "delete" }),
  full: button("Full size", { icon: "larger", onclick: () => fullSize(), title: "Continue to full size: queue it at the size of the photo (F)", id: "full" }),
  queue: button("Queue", { icon: "queue", onclick: () => addToQueue(), title: "Add to the queue with these settings (Q)", id: "enqueue" }),
  compare: iconButton("Before and after (B)", "compare", { onclick: () => toggleCompare(), id: "compare", "aria-pressed": "false" }),
  actual: iconButton("Actual pixels (Z)", "zoom", { onclick: () => toggleActual(), id: "actual", "aria-pressed": "false" }),
  command: iconButton("Copy as command (C)", "terminal", { onclick: () => copyCommand(), id: "copy-command" }),
  python: iconButton("Copy as Python (P)", "code", { onclick: () => copyPython(), id: "copy-python" }),
  save: button("Save", { icon: "save", kind: "primary", onclick: () => save(), title: "Download the picture with its recipe (S)", id: "save" }),
};

export const actions = {
  node: el("div", { class: "actions", role: "group", "aria-label": "Actions" }, ...["stop", "recall", "full", "queue", "command", "python", "save"].map((name) => buttons[name])),
  tools: el("div", { class: "view-tools", role: "group", "aria-label": "View" }, buttons.remove, buttons.compare, buttons.actual),

  update({ comparing, actual, canCompare }) {
    const job = shownJob();
    const picture = shown.type === "picture";
    const ready = picture || ((shown.type === "live" || shown.type === "job") && (job || !missing()));
    const single = ready && (picture || (job?.kind ?? draft.kind) !== "sheet");
    const clip = picture ? Boolean(shown.item.clip) : job ? ofClip(job) : isClip();
    const whole = ofClip(job) && !job.request.preview;
    buttons.stop.hidden = picture;
    buttons.recall.hidden = buttons.remove.hidden = !picture;
    buttons.stop.disabled = job?.state !== "running" || whole;
    buttons.queue.lastChild.textContent = clip ? "Queue the clip" : "Queue";
    buttons.queue.classList.toggle("primary", clip && !picture && !whole);
    buttons.save.classList.toggle("primary", !(clip && !picture && !whole));
    const side = Math.max(job?.width ?? 0, job?.height ?? 0);
    buttons.full.hidden = clip;
    buttons.full.disabled = !single || (!picture && Boolean(side) && side >= photoSide());
    buttons.queue.disabled = !single;
    buttons.command.disabled = buttons.python.disabled = !single;
    buttons.compare.disabled = !canCompare;
    buttons.compare.setAttribute("aria-pressed", String(comparing));
    buttons.actual.disabled = shown.type === "sheet" || (!ready && !draft.photo);
    buttons.actual.setAttribute("aria-pressed", String(actual));
    buttons.save.disabled = !shownResult();
  },
};
