// The live run: whenever the draft changes, the server gets it, and drops the run before.

import { api } from "./api.js";
import { claimSession, draft, emit, isClip, jobRequest, memory, missing, on, server, session } from "./state.js";

const PAUSE_MS = 150;

// { id, key, job, borrowed }: the job, the request that it is of, the job once it is over, and whether
// it is the run of another tab, which this one only watches.
let live = memory.get("live");
let claimed = false;
let timer = null;
let sending = false;

/** The live job of this page, unless it has been cancelled. */
export function liveJob() {
  const job = live && server.jobs.get(live.id);
  return job && job.state !== "cancelled" ? job : null;
}

/** Whether the live run has ended without a picture, stopped before its first step or from elsewhere. */
export const liveIsLost = () => !sending && server.jobs.get(live?.id)?.state === "cancelled";

function remember(next) {
  live = next;
  memory.set("live", next);
}

/** Cancel the live run, and keep nothing. */
export async function discard() {
  const job = liveJob();
  if (job && !live.borrowed && !["done", "failed"].includes(job.state)) await api.cancel(job.id).catch(() => {});
}

/** Begin again although nothing has changed, as after a lost run. */
export function restart() {
  remember(null);
  schedule();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(send, PAUSE_MS);
}

/** What is painted at once: the picture, or three frames of the clip. */
const liveRequest = () => ({ ...jobRequest(), ...(isClip() && { preview: true }) });

async function send() {
  if (sending || !claimed || !server.connected || !server.presets) return;
  if (missing()) {
    await discard();
    remember(null);
    emit("jobs");
    return;
  }
  const request = liveRequest();
  const key = JSON.stringify(request);
  if (live?.key === key) return;
  sending = true;
  try {
    const job = await api.submit({ ...request, live: true, session });
    server.jobs.set(job.id, job);
    server.problem = server.problemField = null;
    remember({ id: job.id, key });
  } catch (error) {
    if (error.code !== "offline") {
      server.problem = error.words ?? String(error);
      server.problemField = error.field ?? null;
      await discard();
      remember({ id: null, key });
    }
  } finally {
    sending = false;
  }
  emit("problem");
  emit("jobs");
  if (JSON.stringify(liveRequest()) !== key) schedule();
}

/** Begin again if the tab that the run belongs to has ended it. */
function followOwner() {
  if (live?.borrowed && server.jobs.get(live.id)?.state === "cancelled") restart();
}

export function startLive() {
  claimSession().then((taken) => {
    claimed = true;
    if (taken) emit("session");
    if (taken && live) remember({ ...live, borrowed: true });
    followOwner();
    schedule();
  });
  on("draft", () => {
    emit("draft-shown");
    schedule();
  });
  on("ready", schedule);
  on("job", (job) => {
    if (job.id === live?.id && ["done", "failed"].includes(job.state)) remember({ ...live, job });
    followOwner();
  });
  // The server forgets old jobs; the picture on the stage stays.
  on("gone", ({ id }) => { if (id === live?.id && live.job) server.jobs.set(id, live.job); });
  on("hello", () => {
    // After a restart of the server the run may be unknown: a finished one is still to be seen, and
    // an unfinished one begins again.
    if (live?.id && !server.jobs.has(live.id)) {
      if (live.job) server.jobs.set(live.id, live.job);
      else remember(null);
    }
    followOwner();
    schedule();
  });
}
