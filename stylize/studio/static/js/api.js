// The server: requests with the token, pictures as object URLs, and the stream of events.

const TOKEN = "stylize-token";
const PINGS_MS = 40_000;
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
  recall: (id) => get(`images/${id}/recall`),
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
    url.then(URL.revokeObjectURL, () => {});
  }
  return coming;
}

export const thumbnail = (id) => pictureUrl(`images/${id}/thumbnail`);
export const view = (id, side = 1600, format = "jpeg") => pictureUrl(`images/${id}/view?side=${side}&format=${format}`);
export const media = (id) => pictureUrl(`images/${id}/file`);
export const cellPicture = (job, index) => pictureUrl(`jobs/${job}/cells/${index}`);
export const jobPreview = (job) => pictureUrl(`jobs/${job}/preview`);

/** Show a picture in an <img> as soon as it has come, unless another was asked for meanwhile. */
export async function showIn(img, coming) {
  img.coming = coming;
  try {
    const url = await coming;
    if (img.coming === coming) img.src = url;
  } catch {
    if (img.coming === coming) img.removeAttribute("src");
  }
  return img;
}

/**
 * Follow the events for as long as the page is open, and connect again when the server is back.
 * onState gets "connected", "lost" or "locked" (wrong token).
 */
export function listen(onEvent, onState) {
  let connection = null;
  let stopped = false;

  async function follow() {
    connection = new AbortController();
    const mine = connection;
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => mine.abort(), PINGS_MS);
    };
    try {
      alive();
      const answer = await request("events", { headers: { Accept: "text/event-stream" }, signal: mine.signal });
      onState("connected");
      await read(answer.body, alive);
    } finally {
      clearTimeout(watchdog);
    }
  }

  async function read(body, alive) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", name = "message", data = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data += line.slice(5).trimStart();
        else if (line === "" && data) {
          onEvent(name, JSON.parse(data));
          name = "message";
          data = "";
        }
      }
    }
  }

  async function run() {
    let wait = 250;
    while (!stopped) {
      const begun = Date.now();
      try {
        await follow();
      } catch (error) {
        if (error.status === 401) {
          onState("locked");
          return;
        }
      }
      if (stopped) return;
      onState("lost");
      wait = Date.now() - begun > 5000 ? 250 : Math.min(wait * 1.6, 3000);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  addEventListener("pagehide", () => { stopped = true; connection?.abort(); });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    stopped = false;
    run();
  });
  run();
}
