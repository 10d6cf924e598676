// A page is live by being asked for again when something that it shows has changed. All tabs of a browser share one event
// stream (`live-worker.js`; where there are no shared workers, a tab has its own), closed while no tab is seen.
// `data-live` on <main> says of which subjects: "*", or words such as "job:ID deployment:ID service:NAME".
import { LiveStream } from "./live-stream.js";
import { morph } from "./morph.js";

const QUIET_MS = 200;
const JITTER_MS = 300; // 200 pages do not ask in one moment
const MOVES_MS = 3000;
const HERE_MS = 25_000;

const root = document.documentElement.dataset.root || "";
const logs = new Map();
const takers = new Set();
let send = null, state = { state: "connecting" }, counting = 0;

// ---- the stream, wherever it is

function connect() {
  if (send) return;
  const worker = shared();
  if (worker) {
    worker.port.addEventListener("message", ({ data }) => take(data));
    worker.port.start();
    worker.addEventListener("error", () => { send = alone(); send({}); }); // it could not be loaded
    send = (said) => worker.port.postMessage({ root, seen: !document.hidden, logs: [...logs.keys()], ...said });
  } else send = alone();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { send({}); say({ state: "paused" }); }
    else { send({ again: true }); take({ kind: "begin", resumed: false }); } // what changed while nobody looked
  });
  window.addEventListener("pagehide", () => send({ gone: true }));
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(() => send({}), HERE_MS);
  if (document.hidden) say({ state: "paused" });
  else send({ again: true });
}

function alone() {
  const own = new LiveStream(root, take);
  return (said) => (document.hidden || said.gone ? own.stop() : own.start([...logs.keys()]));
}

function shared() {
  if (!("SharedWorker" in window)) return null;
  const session = document.querySelector("input[name=csrf]")?.value.slice(0, 8) || "";
  try {
    return new SharedWorker(new URL("./live-worker.js", import.meta.url), { type: "module", name: `live ${root} ${session}` });
  } catch { return null; }
}

function take(message) {
  if (document.hidden) return;
  if (message.kind === "state") say(message);
  if (message.kind === "log") logs.get(`${message.job_id}:${message.attempt}`)?.forEach((told) => told(message));
  if (message.kind === "begin" && !message.resumed) for (const each of logs.values()) each.forEach((told) => told(null));
  for (const each of takers) each(message);
}

// `told` gets how long the log is now, or null: it may have grown unseen. Returns what ends it.
export function followLog(jobId, attempt, told) {
  const key = `${jobId}:${attempt}`;
  logs.set(key, (logs.get(key) || new Set()).add(told));
  connect();
  send({});
  return () => {
    logs.get(key)?.delete(told);
    if (!logs.get(key)?.size) logs.delete(key);
    send({});
  };
}

// ---- what the top of the page says of it

const WORDS = { connecting: "connecting", live: "live", paused: "paused", "signed out": "signed out" };

function say(said) {
  const before = state.state;
  state = said;
  clearInterval(counting);
  show();
  if (state.state === "reconnecting") counting = setInterval(show, 1000);
  const aloud = document.getElementById("live-said");
  if (!aloud || before === state.state) return;
  if (state.state === "reconnecting") aloud.textContent = "The connection was lost. Trying again.";
  if (state.state === "live" && before === "reconnecting") aloud.textContent = "Connected again.";
  if (state.state === "signed out") aloud.textContent = "You are signed out. What you filled in is kept when you send it.";
}

function show() {
  const shown = document.getElementById("live-state");
  if (!shown) return;
  const seconds = Math.max(1, Math.ceil((state.at - Date.now()) / 1000));
  const words = WORDS[state.state] || `reconnecting in ${seconds} s`;
  shown.dataset.state = state.state.replace(" ", "-");
  if (shown.textContent !== words) shown.textContent = words;
}

// ---- the page

export function follow(main, changed) {
  const topics = main?.dataset.live?.split(/\s+/).filter(Boolean);
  if (!topics?.length) return;
  let soon = 0, asking = false, stale = false, took = 0;

  const concerns = (told) => topics.includes("*") || topics.some((topic) => {
    const [kind, name] = [topic.slice(0, topic.indexOf(":")), topic.slice(topic.indexOf(":") + 1)];
    return told[`${kind}_id`] === name || told[`${kind}_name`] === name || (name === "*" && told.action?.startsWith(`${kind}.`));
  });

  async function refresh() {
    if (document.hidden) return;
    if (asking) { stale = true; return; }
    asking = true;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin", redirect: "follow" });
      if (answer.redirected && new URL(answer.url).pathname.endsWith("/sign-in")) { say({ state: "signed out" }); return; }
      if (answer.ok) put(await answer.text());
      else if (answer.status >= 500 || answer.status === 429) stale = true; // it is asked again
    } catch { stale = true; } finally {
      took = performance.now() - began;
      asking = false;
      if (stale && state.state !== "signed out") { stale = false; later(Math.max(1000, took)); }
    }
  }

  function put(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) return;
    morph(main, fresh);
    document.title = page.title;
    const icon = document.querySelector("link[rel=icon]"), now = page.querySelector("link[rel=icon]")?.getAttribute("href");
    if (icon && now && icon.getAttribute("href") !== now) icon.setAttribute("href", now);
    changed();
  }

  // A server that is slow to answer is asked less often.
  function later(least = 0) {
    if (soon) return;
    soon = setTimeout(() => { soon = 0; refresh(); }, Math.max(QUIET_MS, least, took) + Math.random() * JITTER_MS);
  }

  takers.add((message) => {
    if (message.kind === "begin" && !message.resumed) later();
    if (message.kind === "changes" && message.list.some(concerns)) later();
  });
  connect();
  // That an agent has begun is no event: what moves is looked at now and then.
  const move = () => {
    setTimeout(move, Math.max(MOVES_MS, 20 * took) * (0.75 + Math.random() / 2));
    if (state.state === "live" && main.dataset.moves === "yes" && !soon) refresh();
  };
  setTimeout(move, MOVES_MS);
}
