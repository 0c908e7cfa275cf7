// The server: requests with the token, pictures as object URLs, and the stream of events.

import { follow } from "./stream.js";

const TOKEN = "stylize-token";
const PICTURES_KEPT = 300;

/** What the server refused, or that it does not answer. */
export class ApiError extends Error {
  constructor({ code, message, hint = null, field = null }, status = 0) {
    super(message);
    Object.assign(this, { code, hint, field, status });
  }

  /** Message and remedy as one sentence or two. */
  get words() {
    const text = this.message.charAt(0).toUpperCase() + this.message.slice(1);
    return this.hint ? `${text}: ${this.hint}` : text;
  }
}

/** Keep the token of the address, and remove it from the address. */
export function takeToken() {
  const found = /[#&]token=([^&]+)/.exec(location.hash);
  if (!found) return;
  localStorage.setItem(TOKEN, decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

async function request(path, { method = "GET", json, body, headers = {}, ...rest } = {}) {
  const sent = { Authorization: `Bearer ${localStorage.getItem(TOKEN) ?? ""}`, ...headers };
  if (json !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, {
      method, headers: sent, body: json === undefined ? body : JSON.stringify(json), cache: "no-store", ...rest,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "offline", message: "The server does not answer", hint: "start 'stylize studio' again" });
  }
  if (answer.ok) return answer;
  const document = await answer.json().catch(() => null);
  throw new ApiError(document?.error ?? { code: "internal", message: `The server answered ${answer.status}` }, answer.status);
}

const get = async (path) => (await request(path)).json();
const post = async (path, json) => (await request(path, { method: "POST", json })).json();

export const api = {
  status: () => get("status"),
  settings: () => get("settings"),
  presets: () => get("presets"),
  samples: () => get("samples"),
  picture: (id) => get(`images/${id}`),
  remove: (id) => request(`images/${id}`, { method: "DELETE" }),
  recall: (id, cell = null) => get(`images/${id}/recall${cell ? `?cell=${encodeURIComponent(cell)}` : ""}`),
  history: (query) => get(`history?${new URLSearchParams(query)}`),
  submit: (job) => post("jobs", job),
  stop: (id) => request(`jobs/${id}/stop`, { method: "POST" }),
  cancel: (id) => request(`jobs/${id}/cancel`, { method: "POST" }),
  retry: (id) => request(`jobs/${id}/retry`, { method: "POST" }),
  forget: (id) => request(`jobs/${id}`, { method: "DELETE" }),
  move: (id, position) => post(`jobs/${id}/move`, { position }),
  command: (job) => post("command", job),
  subject: (photo) => post("subject", { photo }),
  file: async (id) => (await request(`images/${id}/file`)).blob(),

  async upload(file, name = file.name || "picture.png") {
    // A folder looks like a file until it is read.
    await file.slice(0, 1).arrayBuffer().catch(() => {
      throw new ApiError({ code: "unreadable", message: `${name} cannot be read`, hint: "if it is a folder, open it and choose the files in it" });
    });
    const answer = await request("images", {
      method: "POST", body: file, headers: { "X-File-Name": encodeURIComponent(name) },
    });
    return answer.json();
  },
};

// Pictures need the token, so they come by fetch; each address is fetched once.
const pictures = new Map();

function pictureUrl(path) {
  const known = pictures.get(path);
  if (known) {
    pictures.delete(path);
    pictures.set(path, known);
    return known;
  }
  const coming = request(path).then((answer) => answer.blob()).then((blob) => URL.createObjectURL(blob));
  coming.catch(() => pictures.delete(path));
  pictures.set(path, coming);
  if (pictures.size > PICTURES_KEPT) {
    const [oldest, url] = pictures.entries().next().value;
    pictures.delete(oldest);
    url.then((old) => { if (!document.querySelector(`video[src="${old}"]`)) URL.revokeObjectURL(old); }, () => {});
  }
  return coming;
}

export const thumbnail = (id) => pictureUrl(`images/${id}/thumbnail`);
export const view = (id, side = 1600, format = "jpeg") => pictureUrl(`images/${id}/view?side=${side}&format=${format}`);
export const media = (id) => pictureUrl(`images/${id}/file`);
export const cellPicture = (job, index) => pictureUrl(`jobs/${job}/cells/${index}`);
export const jobPreview = (job) => pictureUrl(`jobs/${job}/preview`);

/** Show a picture in an <img> as soon as it has come, unless another was asked for meanwhile. */
export async function showIn(img, coming, onFail = () => {}) {
  img.coming = coming;
  try {
    const url = await coming;
    if (img.coming === coming) img.src = url;
  } catch (error) {
    if (img.coming !== coming) return img;
    img.removeAttribute("src");
    onFail(error);
  }
  return img;
}

/**
 * Follow the events for as long as the page is open; returns a function to call when the session has
 * changed. onState gets "connected", "lost" or "locked" (wrong token).
 */
export function listen(session, onEvent, onState) {
  const introduced = () => ({ token: localStorage.getItem(TOKEN) ?? "", session: session() });
  let leave = () => {};
  let join;

  function alone() {
    join = () => {
      leave();
      const { token, session: mine } = introduced();
      leave = follow(token, [mine], onEvent, onState);
    };
    join();
  }

  function together() {
    const worker = new SharedWorker("/static/js/shared.js", { type: "module" });
    const { port } = worker;
    join = () => port.postMessage(introduced());
    leave = () => port.postMessage({ bye: true });
    port.onmessage = ({ data: [kind, ...rest] }) => {
      if (kind === "event") onEvent(...rest);
      else if (kind === "state") onState(...rest);
      else join();
    };
    worker.onerror = alone;
    join();
  }

  if (window.SharedWorker) together();
  else alone();
  addEventListener("pagehide", () => leave());
  addEventListener("pageshow", (event) => { if (event.persisted) join(); });
  return () => join();
}
