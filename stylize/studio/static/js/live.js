// The live run: whenever the draft changes, the server gets it, and drops the run before.

import { api } from "./api.js";
import { draft, emit, jobRequest, memory, missing, on, server, session } from "./state.js";

const PAUSE_MS = 150;

let live = memory.get("live"); // { id, key, job }: the job, the request that it is of, and the job once it is over
let timer = null;
let sending = false;

/** The live job of this page, unless it has been cancelled. */
export function liveJob() {
  const job = live && server.jobs.get(live.id);
  return job && job.state !== "cancelled" ? job : null;
}

function remember(next) {
  live = next;
  memory.set("live", next);
}

/** Cancel the live run, and keep nothing. */
export async function discard() {
  const job = liveJob();
  if (job && !["done", "failed"].includes(job.state)) await api.cancel(job.id).catch(() => {});
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

async function send() {
  if (sending || !server.connected || !server.presets) return;
  if (missing()) {
    await discard();
    remember(null);
    emit("jobs");
    return;
  }
  const request = jobRequest();
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
  if (JSON.stringify(jobRequest()) !== key) schedule();
}

export function startLive() {
  on("draft", () => {
    emit("draft-shown");
    schedule();
  });
  on("ready", schedule);
  on("job", (job) => {
    if (job.id === live?.id && ["done", "failed"].includes(job.state)) remember({ ...live, job });
  });
  on("hello", () => {
    // After a restart of the server the run may be unknown: a finished one is still to be seen, and
    // an unfinished one begins again.
    if (live?.id && !server.jobs.has(live.id)) {
      if (live.job) server.jobs.set(live.id, live.job);
      else remember(null);
    }
    schedule();
  });
}
