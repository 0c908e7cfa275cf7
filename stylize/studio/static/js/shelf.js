// The right side: the queue, and the history of results.

import { api, showIn, thumbnail } from "./api.js";
import { blockHead, button, duration, el, icon, iconButton, refill, say, sentence, words } from "./dom.js";
import { draggable } from "./intake.js";
import { liveJob } from "./live.js";
import { on, server, session } from "./state.js";
import { show, shown } from "./stage.js";

// Results that are shown more of, and the most that the server lists at once.
const PAGE = 60, MOST = 500;

const OVER = ["done", "failed", "cancelled"];

// The queue

const rows = new Map();

/** The jobs to list. Live ones are on the stage; those that are not can be seen and ended here. */
function waiting() {
  const onStage = (job) => shown.type === "live" && (job.session === session || job.id === liveJob()?.id);
  return [...server.jobs.values()].filter((job) => (
    job.live ? !OVER.includes(job.state) && !onStage(job) : !OVER.includes(job.state) || job.state === "failed"));
}

async function trying(run) {
  try {
    await run();
  } catch (error) {
    say(error.words ?? String(error), { bad: true });
  }
}

const NAMES = { transfer: "Painting", dream: "Dream", sheet: "Sheet", "video-transfer": "Clip", "video-dream": "Dream clip" };

function jobTitle(job) {
  const { preset, settings = {} } = job.request;
  const size = job.width ? `${job.width} × ${job.height}` : settings.size ?? "512";
  return [job.live && "Live", preset ? words(preset) : NAMES[job.kind], size].filter(Boolean).join(" · ");
}

function jobState(job) {
  if (job.state === "failed") return sentence([job.error?.message, job.error?.hint].filter(Boolean).join(": ") || "failed");
  if (job.state === "queued") return "waiting";
  if (job.state === "stopping") return "stopping";
  const step = server.steps.get(job.id) ?? job.progress;
  if (!step) return "starting";
  const left = step.seconds_left ?? null;
  const place = step.frames ? `frame ${step.frame} of ${step.frames} · ` : "";
  return `${place}${Math.floor(100 * step.fraction)} %${left === null ? "" : ` · ${duration(left)} left`}`;
}

function makeRow(job) {
  const img = el("img", { alt: "" });
  const photo = job.request.photo ?? job.request.clip;
  if (photo) showIn(img, thumbnail(photo));
  const title = el("p"), state = el("p");
  const open = () => show({ type: job.kind === "sheet" ? "sheet" : "job", id: job.id });
  const up = iconButton("Move up", "up", { kind: "small", onclick: () => trying(() => api.move(job.id, Math.max(0, server.jobs.get(job.id).position - 1))) });
  const end = iconButton("Remove from the queue", "close", {
    kind: "small",
    onclick: () => {
      if (!OVER.includes(server.jobs.get(job.id)?.state)) trying(() => api.cancel(job.id));
      else trying(() => api.forget(job.id));
    },
  });
  const again = iconButton("Try again", "recall", { kind: "small", onclick: () => trying(() => api.retry(job.id)) });
  const bar = el("div", { class: "progress" }, el("div"));
  const node = el("li", { class: "job", "data-job": job.id },
    el("button", { type: "button", class: "mini", title: "Watch it", "aria-label": "Watch this job", onclick: open }, img),
    el("div", { class: "what" }, title, state), el("div", { class: "tools" }, up, again, end), bar);
  return {
    node,
    update(now, first) {
      title.textContent = title.title = jobTitle(now);
      state.textContent = state.title = jobState(now);
      node.classList.toggle("failed", now.state === "failed");
      again.hidden = now.state !== "failed";
      up.hidden = now.state !== "queued" || now.live || first;
      end.title = now.state === "failed" ? "Dismiss" : now.state === "queued" ? "Remove from the queue" : "Cancel, and keep nothing";
      end.setAttribute("aria-label", end.title);
      bar.hidden = now.state !== "running";
      bar.style.setProperty("--share", (server.steps.get(now.id) ?? now.progress)?.fraction ?? 0);
    },
  };
}

function renderQueue() {
  const list = document.querySelector("#queue ol");
  const jobs = waiting().sort((a, b) => (a.position ?? 1e9) - (b.position ?? 1e9));
  for (const [id, { node }] of rows) {
    if (jobs.some((job) => job.id === id)) continue;
    node.remove();
    rows.delete(id);
  }
  jobs.forEach((job, index) => {
    if (!rows.has(job.id)) rows.set(job.id, makeRow(job));
    const row = rows.get(job.id);
    row.update(job, jobs[index - 1]?.state !== "queued" || jobs[index - 1].live);
    if (list.children[index] !== row.node) list.insertBefore(row.node, list.children[index] ?? null);
  });
  document.querySelector("#queue output").textContent = jobs.length ? String(jobs.length) : "";
  document.querySelector("#queue .empty").hidden = jobs.length > 0;
}

// The history

let items = [];
let total = 0;
let picked = [];
const query = { search: "", preset: "", style: "", days: "" };
let asked = 0;

async function load(more = false) {
  const mine = ++asked;
  const wanted = {};
  for (const name of ["search", "preset", "style"]) if (query[name]) wanted[name] = query[name];
  if (query.days) wanted.since = Date.now() / 1000 - 86400 * query.days;
  try {
    const all = more ? [...items] : [];
    const goal = more ? items.length + PAGE : Math.max(PAGE, items.length);
    let found;
    do {
      found = await api.history({ ...wanted, offset: all.length, limit: Math.min(MOST, goal - all.length) });
      if (mine !== asked) return;
      all.push(...found.items);
    } while (found.items.length && all.length < Math.min(goal, found.total));
    items = all;
    total = found.total;
    fillChoices(found);
    renderHistory();
  } catch (error) {
    if (error.code !== "offline" && error.status !== 401) say(error.words ?? String(error), { bad: true });
  }
}

function fillChoices({ presets, styles }) {
  for (const [name, all, none] of [["preset", presets, "Any preset"], ["style", styles, "Any style"]]) {
    const select = document.getElementById(`history-${name}`);
    select.replaceChildren(el("option", { value: "" }, none), ...all.map((each) => el("option", { value: each }, words(each.replace(/\.[A-Za-z0-9]+$/, "")))));
    select.value = query[name];
  }
}

export async function openItem(item) {
  show({ type: "picture", item });
  try {
    if (item.clip || item.cells) return;
    const { request } = await api.recall(item.id);
    if (shown.type === "picture" && shown.item.id === item.id) show({ type: "picture", item, photo: request.photo });
  } catch {
    // Without its photo there is no before and after.
  }
}

function pick(item, on) {
  picked = on ? [...picked.filter(({ id }) => id !== item.id), item].slice(-2) : picked.filter(({ id }) => id !== item.id);
  renderHistory();
  if (picked.length === 2) show({ type: "pair", items: picked });
  else if (on) say("Pick another result to compare.", { seconds: 3 });
}

// Thumbnails are fetched when they are to be seen, and kept as long as they are listed.
let images = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    showIn(target, thumbnail(target.dataset.id));
  }
}, { scrollMargin: "300px" });

function imageOf({ id }) {
  const known = images.get(id);
  images.delete(id); // the same picture may be listed twice
  if (known) return known;
  const img = el("img", { alt: "", draggable: false });
  img.dataset.id = id;
  seen.observe(img);
  return img;
}

function shot(item, img) {
  const current = shown.type === "picture" && shown.item.id === item.id;
  const about = [item.preset && words(item.preset), ...(item.styles ?? [])].filter(Boolean).join(", ");
  const open = el("button", {
    type: "button", class: "open", "data-focus": item.id, title: `${item.name}\n${about}`, "aria-label": `Open ${item.name}, ${about}`,
    "aria-current": String(current), onclick: () => openItem(item),
  }, img);
  draggable(open, { id: item.id, name: item.name, width: item.width, height: item.height, type: item.type, clip: item.clip, cells: item.cells });
  return el("li", { class: "shot", "data-picture": item.id }, open,
    item.clip && el("span", { class: "length" }, icon("play"), `${item.clip.seconds.toFixed(1)} s`),
    el("input", {
      type: "checkbox", class: "pick", title: "Compare", "aria-label": `Compare ${item.name}`, "data-focus": `pick ${item.id}`,
      checked: picked.some(({ id }) => id === item.id), onchange: (event) => pick(item, event.target.checked),
    }));
}

function renderHistory() {
  const list = document.querySelector("#history ul");
  list.classList.toggle("picking", picked.length > 0);
  const listed = items.map((item) => [item.id, imageOf(item)]);
  for (const img of images.values()) seen.unobserve(img);
  images = new Map(listed);
  refill(list, items.map((item, index) => shot(item, listed[index][1])));
  document.querySelector("#history output").textContent = total ? String(total) : "";
  const filtered = Object.values(query).some(Boolean);
  const empty = document.querySelector("#history .empty");
  empty.hidden = items.length > 0;
  empty.textContent = filtered ? "No result matches." : "Finished pictures and clips appear here.";
  document.getElementById("history-filters").hidden = !filtered && total < 2;
  document.getElementById("more-history").hidden = items.length >= total;
}

/** Open the next or the previous result of the history. */
export function stepHistory(by) {
  const at = shown.type === "picture" ? items.findIndex(({ id }) => id === shown.item.id) : by > 0 ? -1 : 0;
  const next = items[at + by];
  if (next) openItem(next);
}

export function focusSearch() {
  const search = document.getElementById("history-search");
  document.getElementById("history-filters").hidden = false;
  search.focus();
}

export function startShelf() {
  document.getElementById("queue").append(
    el("div", { class: "block-head" }, el("h2", { id: "queue-title" }, "Queue"), el("output")),
    el("p", { class: "empty" }, "Empty. Add a picture to it with Queue or Full size."),
    el("ol", { class: "jobs" }));
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(load, 200);
  };
  const choose = (name, words, options = []) => el("select", {
    id: `history-${name}`, "aria-label": words, onchange: (event) => { query[name] = event.target.value; load(); },
  }, options);
  const head = blockHead("History", el("output"));
  head.querySelector("h2").id = "history-title";
  document.getElementById("history").append(
    head,
    el("div", { id: "history-filters", class: "filters", hidden: true },
      el("input", {
        type: "search", id: "history-search", placeholder: "Search", "aria-label": "Search the history",
        oninput: (event) => { query.search = event.target.value; later(); },
      }),
        choose("preset", "Preset"), choose("style", "Style"),
        choose("days", "Date", [["", "Any date"], ["1", "Last day"], ["7", "Last week"], ["31", "Last month"]].map(([value, text]) => el("option", { value }, text)))),
    el("p", { class: "empty" }),
    el("ul", { class: "shots" }),
    button("Show more", { kind: "small", id: "more-history", onclick: () => load(true), hidden: true }));
  on("jobs", renderQueue);
  on("step", (step) => { const row = rows.get(step.id); if (row) row.update(server.jobs.get(step.id), false); });
  on("history", later);
  on("hello", () => load());
  on("shown", () => {
    renderQueue();
    if (shown.type !== "pair" && picked.length) {
      picked = [];
      for (const each of document.querySelectorAll("#history .pick")) each.checked = false;
    }
    for (const each of document.querySelectorAll("#history .open")) {
      each.setAttribute("aria-current", String(shown.type === "picture" && each.dataset.focus === shown.item.id));
    }
  });
  renderQueue();
  renderHistory();
}
