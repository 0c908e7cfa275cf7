// The page of `stylize studio`.

import { api, listen, takeToken } from "./api.js";
import { addToQueue, copyCommand, copyPython, deleteShown, fullSize, recallShown, save, stop } from "./actions.js";
import { startControls } from "./controls.js";
import { icon, say } from "./dom.js";
import { startIntake } from "./intake.js";
import { shortcut, showShortcuts, startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { openPainter } from "./painter.js";
import { startSettings, toggleDrawer } from "./settings.js";
import { focusSearch, startShelf, stepHistory } from "./shelf.js";
import { show, startStage, toggleActual, toggleCompare } from "./stage.js";
import { emit, on, server, session } from "./state.js";
import { startTheme } from "./theme.js";

const OVER = ["done", "failed", "cancelled"];

/** Keep the previews of runs that go on, and the steps; the server knows the rest. */
function takeJob(job) {
  server.jobs.set(job.id, job);
  if (!OVER.includes(job.state)) return;
  server.steps.delete(job.id);
  if (job.state !== "failed") setTimeout(() => forgetPreviews(job.id), 3000);
}

function forgetPreviews(id) {
  for (const key of [...server.previews.keys()]) if (key === id || key.startsWith(`${id} `)) server.previews.delete(key);
}

const takes = {
  hello({ jobs, engine, version }) {
    server.jobs = new Map(jobs.map((job) => [job.id, job]));
    server.engine = engine;
    if (server.version && server.version !== version) location.reload();
    server.version = version;
    server.connected = true;
    load();
    emit("hello");
    emit("jobs");
  },
  job(job) {
    takeJob(job);
    emit("job", job);
    emit("jobs");
  },
  step(step) {
    server.steps.set(step.id, step);
    emit("step", step);
  },
  preview({ id, index, type, data }) {
    server.previews.set(index === undefined ? id : `${id} ${index}`, `data:${type};base64,${data}`);
    emit("preview", { id, index });
  },
  cell({ id, index, cell }) {
    const cells = server.jobs.get(id)?.cells;
    if (cells) cells[index] = cell;
    emit("cell", { id, index });
  },
  gone({ id }) {
    server.jobs.delete(id);
    emit("gone", { id });
    emit("jobs");
  },
  history: (result) => emit("history", result),
  engine(engine) {
    server.engine = engine;
    showConnection();
  },
};

function showConnection(state = "connected") {
  const node = document.getElementById("connection");
  node.classList.toggle("lost", state !== "connected" || server.engine?.state === "failed");
  if (state === "lost") node.textContent = "Not connected; trying again";
  else if (state === "locked") node.textContent = "Not allowed";
  else node.textContent = { starting: "Getting ready", restarting: "Restarting", failed: "The engine does not start" }[server.engine?.state] ?? "Ready";
}

let loaded = false;

/** Load what does not change while the server runs. */
async function load() {
  if (loaded) return;
  loaded = true;
  try {
    [server.status, server.settings, server.presets, server.samples] = await Promise.all([
      api.status(), api.settings(), api.presets(), api.samples(),
    ]);
    emit("ready");
  } catch (error) {
    loaded = false;
    if (error.code !== "offline") say(error.words ?? String(error), { bad: true });
  }
}

function onState(state) {
  server.connected = state === "connected" && server.connected;
  showConnection(state);
  if (state === "locked") {
    say("This page has no valid key. Open the address that 'stylize studio' printed in the terminal.", { bad: true, seconds: 86_400 });
  }
}

function addShortcuts() {
  shortcut("X", "Stop and keep the picture so far", stop, "stop");
  shortcut("S", "Save the picture", save, "save");
  shortcut("Q", "Add to the queue", addToQueue, "enqueue");
  shortcut("F", "Continue to full size", fullSize, "full");
  shortcut("B", "Before and after", toggleCompare, "compare");
  shortcut("Z", "Actual pixels", toggleActual, "actual");
  shortcut("M", "Paint a mask", openPainter);
  shortcut("A", "All settings", toggleDrawer);
  shortcut("C", "Copy as command", copyCommand, "copy-command");
  shortcut("P", "Copy as Python", copyPython, "copy-python");
  shortcut("R", "Use the settings of the result shown", recallShown, "recall");
  shortcut("J", "Next result of the history", () => stepHistory(1));
  shortcut("K", "Previous result of the history", () => stepHistory(-1));
  shortcut("Delete", "Delete the result shown", deleteShown, "delete");
  shortcut("/", "Search the history", focusSearch);
  shortcut("Escape", "Back to the picture in progress", () => show({ type: "live" }));
  shortcut("?", "Show this list", showShortcuts);
}

takeToken();
addEventListener("hashchange", () => {
  if (!location.hash.includes("token=")) return;
  takeToken();
  location.reload();
});
const keysButton = document.getElementById("keys-button");
keysButton.append(icon("keyboard"));
keysButton.addEventListener("click", showShortcuts);
startTheme(document.getElementById("theme-button"));
addShortcuts();
startKeys();
startIntake();
startStage();
startControls();
startSettings();
startShelf();
startLive();
on("session", listen(() => session, (name, data) => takes[name]?.(data), onState));
