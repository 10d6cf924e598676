# The text below these four lines stands in docs/http-agent.md, word for word: tests/e2e/test_http_agent.py.
# pyright: basic
# ruff: noqa: E401, E701, I001, RET503
# fmt: off
"""An agent: `python3 http_agent.py NAME POOL` with HYBRIDCI_URL and HYBRIDCI_API_KEY. Needs git, bash and coreutils."""
import json, os, shlex, signal, subprocess, sys, tempfile, time, urllib.error, urllib.request, uuid
URL, KEY, ME = os.environ["HYBRIDCI_URL"], os.environ["HYBRIDCI_API_KEY"], dict(agent_id=sys.argv[1], pool=sys.argv[2])
access = {"token": KEY}
def call(method, path, body, patient=True, final="false"):  # without an answer: again and again if patient, else 0
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {access['token']}", "Content-Type": "application/json", "Log-Final": final}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60 if patient else 4) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429: return error.code, json.loads(error.read())
        except OSError: pass
        if not patient: return 0, {}
        time.sleep(1)

def script(job, folder):  # check out, then each step in a clean environment
    fetch = f"git fetch -q --depth 1 {shlex.quote(job['git_repo'])} {job['git_commit_sha']}"
    lines = [f"mkdir work && cd work && git init -q && {fetch} && git checkout -q FETCH_HEAD || exit 125"]
    for number, step in enumerate(job["steps"]):
        with open(f"{folder}/{number}", "w") as file: file.write(step["run"])
        env = {"PATH": os.environ["PATH"], "HOME": folder, "CI": "true", **job["env"], **step["env"]}
        words = ["env", "-i", *map("=".join, env.items()), "timeout", "--foreground", str(step["timeout_seconds"] or 0)]
        words += [*shlex.split(step["shell"] or "bash -eo pipefail"), f"../{number}"]
        lines.append(f"{shlex.join(words)} || {'true' if step['continue_on_error'] else 'exit'}")
    return "\n".join(lines)

def run(job, url, lease, seconds, folder, log):
    if job["secrets"] or "sealed:v1:" in json.dumps(job):
        return call("PATCH", f"{url}/complete", lease | {"outcome": "agent_error", "error_message": "No secrets here."})
    command = ["timeout", "-sINT", "-k10", str(job["timeout_seconds"]), "bash", "-c", script(job, folder)]
    process = subprocess.Popen(command, cwd=folder, stdin=-3, stdout=log, stderr=log, start_new_session=True)
    call("PATCH", f"{url}/start", lease, False)
    log_url, sent, why, beat_at = f"{url}/attempts/{job['attempt']}/log", 0, None, 0.0
    safe_until = time.monotonic() + seconds - 10  # soon after that another agent gets the job, unless we are heard
    while process.poll() is None or sent < os.fstat(log.fileno()).st_size:
        piece, now = os.pread(log.fileno(), 1 << 20, sent), time.monotonic()
        if piece and call("PUT", f"{log_url}/{sent}", piece, False)[0] == 204: sent += len(piece)
        if now > beat_at:
            beat_at, (status, answer) = now + 2, call("PATCH", f"{url}/heartbeat", lease, False)
            if status == 200: safe_until = now + seconds - 10
            if status >= 400 or now > safe_until: return process.poll() is None and os.killpg(process.pid, 9)
            if answer.get("cancel_requested") and not why: why = process.send_signal(signal.SIGINT) or "cancelled"
        time.sleep(0.2)
    call("PUT", f"{log_url}/{sent}", b"", final="true")
    why, code = why or {124: "timed_out", 125: "checkout_failed"}.get(process.returncode), abs(process.returncode)
    call("PATCH", f"{url}/complete", lease | {"outcome": why, "exit_code": None if why else code, "log_bytes": sent})
while True:
    if access["token"] == KEY:
        status, answer = call("POST", "/api/agents/register", ME | {"instance": f"at-{uuid.getnode()}", "via": "http"})
        access["token"] = answer["token"] if status == 201 else sys.exit(answer["detail"])
    status, answer = call("POST", "/api/queue/claim", ME | {"wait_seconds": 10})
    if status == 401: access["token"] = KEY
    elif status not in (200, 404): time.sleep(5)  # paused, draining, in quarantine: answer["detail"] tells
    for claim in answer.get("jobs", []):
        lease = {"agent_id": ME["agent_id"], "lease_token": claim["lease_token"]}
        with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "wb+") as log:
            run(claim["job"], f"/api/queue/jobs/{claim['job_id']}", lease, claim["lease_seconds"], folder, log)
