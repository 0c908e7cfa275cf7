// How pictures come in: dropped, pasted, chosen, or recalled with their settings.

import { api } from "./api.js";
import { chooseCell } from "./cells.js";
import { el, icon, say } from "./dom.js";
import { leavePainter } from "./painter.js";
import { change, draft, emit, on, server, setStyles } from "./state.js";
import { show } from "./stage.js";

const PICTURE = "application/x-stylize-picture";
const ROLES = { photo: "Use as photo or clip", style: "Use as style image", recall: "Recall its settings" };

let wanted = { role: "photo", then: null };

/** Let the user choose files for "photo", "style", "guide" or "region". */
export function pickFiles(role, then = null) {
  const input = document.getElementById("file-input");
  wanted = { role, then };
  input.multiple = role === "style";
  input.value = "";
  input.click();
}

/** Upload files, and use them: of a style as many as there are, of anything else the first. */
export async function addFiles(files, role) {
  const pictures = [];
  const taken = role === "style" ? files : files.slice(0, 1);
  if (taken.length < files.length) say(`Only ${taken[0].name} was used: this place takes one file, not ${files.length}.`, { seconds: 9 });
  for (const file of taken) {
    try {
      const limit = server.status?.limits.upload_bytes ?? Infinity;
      if (file.size > limit) {
        say(`${file.name} is too large: at most ${Math.floor(limit / 2 ** 20)} MB.`, { bad: true });
        continue;
      }
      pictures.push(await api.upload(file));
    } catch (error) {
      const words = error.words ?? error.message;
      // Messages about the file begin with its name.
      say(error.message?.startsWith(file.name) ? file.name + words.slice(file.name.length) : `${file.name}: ${words}`, { bad: true });
    }
  }
  await usePictures(pictures, role);
  return pictures;
}

/** Use uploaded pictures or results in a role. */
export async function usePictures(found, role) {
  if (!found.length) return;
  if (role === "recall") {
    if (found[0].has_recipe === false) say(`${found[0].name} was not made by stylize: it carries no recipe.`, { bad: true });
    else await recall(found[0]);
    return;
  }
  const pictures = role === "photo" ? found : found.filter(isStill);
  if (!pictures.length || (role === "photo" && !(await leavePainter()))) return;
  const [first] = pictures;
  if (role === "guide") change({ guide: first });
  if (role === "start") change({ start: first });
  if (role === "style") {
    const fresh = pictures.filter(({ id }) => !draft.styles.some((each) => each.id === id));
    setStyles([...draft.styles, ...fresh]);
  }
  if (role === "photo") {
    change({ photo: first, cut: {} });
    if (first.has_recipe) {
      say("This picture was made by stylize.", { action: { words: ROLES.recall, run: () => recall(first) }, seconds: 9 });
    }
  }
  for (const note of pictures.flatMap((each) => each.notes ?? [])) say(note);
  show({ type: "live" });
}

/** Whether something can be a style or a guide; says so if it cannot. */
function isStill({ name, type }) {
  if (!type?.startsWith("video/")) return true;
  say(`${name} is a clip. It can only take the place of the photo.`, { bad: true });
  return false;
}

/** Say which inputs of a picture are neither in the folder nor among the samples. */
export const lostWords = (lost) => `Not found here: ${lost.map((each) => each.name ?? each.role).join(", ")}.`;

/** Take over settings and inputs of a picture made by stylize, or of a cell of a contact sheet. */
export async function recall(picture) {
  try {
    const cell = picture.cells ? await chooseCell(picture) : null;
    if (picture.cells && !cell) return;
    const { request, missing: lost } = await api.recall(picture.id, cell);
    if (!(await applyRequest(request))) return;
    if (lost.length) say(`${lostWords(lost)} Add it again.`, { bad: true });
    else say("Settings and inputs recalled.");
  } catch (error) {
    say(error.words ?? error.message, { bad: true });
  }
}

/** Make the draft what a job request says; resolves to whether that was done. */
async function applyRequest(request, { keepSize = false } = {}) {
  if (!(await leavePainter())) return false;
  const kind = request.kind.replace("video-", "");
  const load = (each) => (each ? api.picture(each) : null);
  const [photo, styles, guide, start] = await Promise.all([
    load(request.photo ?? request.clip), Promise.all((request.styles ?? []).map(load)), load(request.guide), load(request.start),
  ]);
  const regions = await Promise.all((request.regions ?? []).map(async ({ mask, style, colour }) => (
    { use: style === "keep" ? style : await api.picture(style), mask, ...(colour && { colour }) }
  )));
  if (request.mask) regions.push({ use: "paint", mask: request.mask });
  if (request.keep) regions.push({ use: "keep", mask: request.keep });
  const settings = { ...request.settings };
  if (start) delete settings.init;
  if (keepSize) {
    delete settings.size;
    if ("size" in draft.settings[kind]) settings.size = draft.settings[kind].size;
  }
  change({
    kind,
    photo: photo ?? (kind === "dream" && settings.from_noise ? null : draft.photo),
    ...(kind === "transfer" && { styles, start }),
    ...(request.clip && { video: request.video ?? {}, cut: request.cut ?? {}, format: request.format ?? "mp4" }),
    ...(kind === "dream" && { guide }),
    mask: regions.length && photo ? { photo: photo.id, regions } : null,
    preset: { ...draft.preset, [kind]: request.preset ?? null },
    settings: { ...draft.settings, [kind]: settings },
    execution: request.execution ?? {},
  });
  show({ type: "live" });
  return true;
}

/** Let a picture of the page be dragged. */
export function draggable(node, picture) {
  node.draggable = true;
  node.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData(PICTURE, JSON.stringify(picture));
    event.dataTransfer.effectAllowed = "copy";
  });
}

function carriesPictures(event) {
  const types = event.dataTransfer?.types ?? [];
  return types.includes("Files") || types.includes(PICTURE);
}

async function takeDrop(event, role) {
  const own = event.dataTransfer.getData(PICTURE);
  const files = [...event.dataTransfer.files];
  if (own) await usePictures([JSON.parse(own)], role);
  else if (files.length) await addFiles(files, role);
  else say("No file came with that. Save the picture first, then drop its file.", { bad: true });
}

function startDrops() {
  const veil = document.getElementById("drop-veil");
  const icons = { photo: "image", style: "brush", recall: "recall" };
  veil.append(...Object.entries(ROLES).map(([role, text]) =>
    el("div", { "data-drop": role }, el("span", {}, icon(icons[role]), text))));
  let timer = null;
  const hide = () => {
    veil.hidden = true;
    for (const each of document.querySelectorAll("[data-drop].over")) each.classList.remove("over");
  };
  document.addEventListener("dragover", (event) => {
    if (!carriesPictures(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    const target = event.target.closest?.("[data-drop]");
    // Over a drop zone of the page the zone itself lights up; elsewhere the veil offers all roles.
    if (!target || !veil.hidden) veil.hidden = false;
    for (const each of document.querySelectorAll("[data-drop].over")) if (each !== target) each.classList.remove("over");
    target?.classList.add("over");
    clearTimeout(timer);
    timer = setTimeout(hide, 400); // dragover comes all the time while something is dragged
  });
  document.addEventListener("drop", (event) => {
    if (!carriesPictures(event)) return;
    event.preventDefault();
    clearTimeout(timer);
    hide();
    const role = event.target.closest?.("[data-drop]")?.dataset.drop;
    const files = [...event.dataTransfer.files];
    takeDrop(event, role ?? (files.length ? guess(files) : "recall"));
  });
}

/** What a picture is for that comes without saying so. */
function guess(files) {
  if (files[0].type.startsWith("video/")) return "photo";
  return draft.photo && draft.kind === "transfer" ? "style" : "photo";
}

function startPaste() {
  document.addEventListener("paste", async (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    const role = guess(files);
    const [picture] = await addFiles(files, role);
    if (picture && role === "style" && draft.styles.some(({ id }) => id === picture.id)) {
      say("Pasted as a style image.", {
        action: {
          words: ROLES.photo,
          run: () => {
            setStyles(draft.styles.filter(({ id }) => id !== picture.id));
            usePictures([picture], "photo");
          },
        },
      });
    }
  });
}

export function startIntake() {
  const input = document.getElementById("file-input");
  input.addEventListener("change", async () => {
    const { role, then } = wanted;
    if (then) {
      for (const file of input.files) {
        try {
          const picture = await api.upload(file);
          if (isStill(picture)) then(picture);
        } catch (error) {
          say(error.words ?? error.message, { bad: true });
        }
      }
      return;
    }
    await addFiles([...input.files], role);
  });
  on("use-request", ({ request, keepSize }) => applyRequest(request, { keepSize }).catch((error) => emit("trouble", error)));
  startDrops();
  startPaste();
}
