// Clips on the stage: three frames before the long run, and the finished clip, which plays.

import { cellPicture, media, showIn, thumbnail } from "./api.js";
import { duration, el } from "./dom.js";
import { draft, emit, server } from "./state.js";

const PLAYED = ["mp4", "webm"];
const TITLES = ["First frame", "Middle frame", "Last frame"];

/** Whether a job makes a clip, or previews one. */
export const ofClip = (job) => Boolean(job?.kind.startsWith("video-"));

/** Whether a job previews a clip. */
export const isPreview = (job) => Boolean(job?.request.preview);

const frames = el("div", { class: "cells frames" });
const strip = el("div", { class: "sheet" },
  el("div", { class: "sheet-head" }, el("h2", {}, "Preview of the clip"), el("p", { class: "soft" }, "Click a frame to make it large.")), frames);
let cells = [];
let of = { photo: null, job: null };

function makeCell(photo, words) {
  const img = el("img", { alt: "", class: "faint" });
  showIn(img, thumbnail(photo));
  const note = el("span", { class: "soft" });
  const node = el("button", { type: "button", class: "cell", title: "Larger or smaller", onclick: () => node.classList.toggle("large") },
    el("div", { class: "thumb" }, img), el("div", { class: "caption" }, el("b", {}, words), note));
  return { node, img, note, has: false };
}

/** The strip of frames of a preview; what it showed stays until something new comes. */
export function previewStrip(job) {
  const photo = job.request.clip;
  const count = job.cells?.length ?? (of.photo === photo ? cells.length : 3);
  if (of.photo !== photo || cells.length !== count) {
    cells = Array.from({ length: count }, (_, index) => makeCell(photo, count === 3 ? TITLES[index] : `Frame ${index + 1}`));
    frames.replaceChildren(...cells.map(({ node }) => node));
  }
  if (of.job !== job.id) for (const each of cells) each.has = false;
  of = { photo, job: job.id };
  const { width, height } = job.width ? job : draft.photo ?? {};
  if (width) strip.style.setProperty("--aspect", width / height);
  cells.forEach((_, index) => renderFrame(job, index));
  return strip;
}

/** Show how far a frame of the preview is. */
export function renderFrame(job, index) {
  const part = cells[index], cell = job.cells?.[index];
  if (!part || !cell || of.job !== job.id) return;
  const growing = server.previews.get(`${job.id} ${index}`);
  const running = ["running", "stopping"].includes(job.state);
  part.note.textContent = cell.state === "done" ? "" : running && growing ? "painting" : running ? "waiting" : "";
  if (cell.state === "done" && !part.has) {
    part.has = true;
    showIn(part.img, cellPicture(job.id, index));
  } else if (cell.state !== "done" && growing) {
    part.img.coming = null;
    part.img.src = growing;
  }
  if (cell.state === "done" || growing) {
    part.img.className = "";
    part.img.alt = cell.label;
  }
}

/** What a whole clip will take, in words. */
export function planWords({ plan, width, height }) {
  if (!plan) return "";
  const count = `${plan.frames} frame${plan.frames === 1 ? "" : "s"} of ${width} × ${height} px`;
  return `Whole clip: ${plan.seconds === null ? "" : `about ${duration(plan.seconds)}, `}${count}`;
}

/** Show a finished clip: a video in the player, an animation as a picture. */
export async function play(player, img, id, format) {
  const video = PLAYED.includes(format);
  player.hidden = !video;
  img.hidden = video;
  if (!video) {
    showIn(img, media(id));
    return;
  }
  if (player.dataset.shows === id) return;
  player.dataset.shows = id;
  player.removeAttribute("src");
  player.poster = "";
  try {
    player.poster = await thumbnail(id);
    const url = await media(id);
    if (player.dataset.shows === id) player.src = url;
  } catch (error) {
    emit("trouble", error);
  }
}

/** The format of a finished clip, from its media type. */
export const formatOf = (type) => type.split("/")[1];
