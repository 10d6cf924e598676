// One stream for all tabs of a browser, which gives a host six connections: held by a shared worker while any tab is seen.
import { LiveStream } from "./live-stream.js";

const SILENT_MS = 70_000;
const tabs = new Map();
let stream = null;

function tell(message) {
  for (const [port, tab] of tabs) if (tab.seen) port.postMessage(message);
}

function settle() {
  const seen = [...tabs.values()].filter((tab) => tab.seen);
  if (seen.length) stream.start(seen.flatMap((tab) => tab.logs));
  else stream?.stop();
}

function take(port, said) {
  const before = tabs.get(port);
  stream ??= new LiveStream(said.root, tell);
  if (said.gone) { tabs.delete(port); port.close(); }
  else tabs.set(port, { seen: said.seen, logs: said.logs, at: Date.now() });
  if (said.seen && !said.gone && (!before?.seen || said.again)) {
    const live = stream.asking && stream.now.state === "live";
    port.postMessage(live ? stream.now : { kind: "state", state: "connecting" });
  }
  settle();
}

self.addEventListener("connect", (event) => {
  const [port] = event.ports;
  port.addEventListener("message", ({ data }) => take(port, data));
  port.start();
});

// A tab that crashed says nothing any more.
setInterval(() => {
  const before = tabs.size;
  for (const [port, tab] of tabs) if (Date.now() - tab.at > SILENT_MS) tabs.delete(port);
  if (tabs.size < before) settle();
}, SILENT_MS / 2);
