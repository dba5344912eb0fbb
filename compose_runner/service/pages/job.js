
"use strict";
(() => {
  const STAGES = Object.assign(Object.create(null), {
    fetch: ["Fetch", "Fetching the studies and their annotation"],
    select: ["Select", "Selecting the analyses"],
    fit: ["Fit", "Fitting the model"],
    correct: ["Correct", "Correcting for multiple comparisons"],
    diagnose: ["Diagnose", "Finding what each study contributes"],
    write: ["Write", "Writing maps, tables and the report"],
    upload: ["Store", "Storing the results"],
    publish: ["Publish", "Publishing the result on Neurosynth Compose"],
  });
  const WORDS = { RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed" };
  const TOKEN = "compose-runner-token";
  const MAX_LINES = 2000;
  // a record may become visible this much later than one with a later time
  const LATE_MS = 60000;
  // addresses of results are valid for an hour
  const STALE_MS = 50 * 60000;
  const embedded = location.pathname.startsWith("/status/");
  const seconds = embedded ? 2 : 10;
  const hiddenFactor = 6;
  const $ = (id) => document.getElementById(id);

  let timer = 0;
  let failures = 0;
  let busy = false;
  let ended = false;
  let sawRunning = false;
  let asked = 0;
  let newest = null;
  let started = null;
  let stopped = null;
  const lines = [];
  const seen = new Set();

  const show = (id, on = true) => { $(id).hidden = !on; };
  const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
  const make = (name, content, attributes = {}) => {
    const element = document.createElement(name);
    if (content !== undefined) element.textContent = content;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const duration = (value) => {
    const whole = Math.max(0, Math.round(value));
    if (whole < 60) return plural(whole, "second");
    if (whole < 5400) return plural(Math.round(whole / 60), "minute");
    if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
    return plural(Math.round(whole / 86400), "day");
  };
  const timeLeft = (value) => (value < 5 ? "a few seconds left" : `about ${duration(value)} left`);
  const moment = (date) => date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const size = (bytes) => {
    if (bytes < 1000) return `${bytes} B`;
    if (bytes < 1e6) return `${Math.round(bytes / 1000)} kB`;
    return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  };
  const web = (address) => {
    try { return ["http:", "https:"].includes(new URL(address).protocol); } catch { return false; }
  };

  function later(delay) {
    clearTimeout(timer);
    timer = setTimeout(ask, delay * 1000 * (document.hidden ? hiddenFactor : 1));
  }

  async function request() {
    const address = new URL(location.href);
    address.hash = "";
    address.searchParams.set("include", "logs,artifacts");
    if (newest !== null) address.searchParams.set("logs_from", String(Math.max(0, newest - LATE_MS)));
    const headers = { Accept: "application/json" };
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(address, { headers, cache: "no-store" });
    let document_ = null;
    try { document_ = await answer.json(); } catch { /* a proxy's page, or nothing */ }
    return [answer.status, document_];
  }

  async function ask() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    let status = 0;
    let reply = null;
    try { [status, reply] = await request(); } catch { /* no answer */ }
    busy = false;
    if (status === 200 && reply && WORDS[reply.status]) {
      failures = 0;
      asked = Date.now();
      show("token", false);
      show("notice", false);
      draw(reply);
      if (!ended) {
        sawRunning = true;
        later(seconds);
      } else if (sawRunning && !embedded) {
        // CloudWatch shows the last records a little later: one last look
        sawRunning = false;
        later(seconds);
      }
      return;
    }
    if (status === 401) {
      sessionStorage.removeItem(TOKEN);
      badge("", "Locked");
      text("state", "The service tells nobody without its token.");
      show("token");
      $("token-field").focus();
      return;
    }
    if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
      badge("failed", status === 404 ? "Unknown" : "Refused");
      text("title", status === 404 ? "No such job" : "This cannot be shown");
      document.title = $("title").textContent;
      text("state", (reply && typeof reply.error === "string" && reply.error) || `The service answers ${status}.`);
      return;
    }
    failures += 1;
    const delay = Math.min(60, seconds * 2 ** Math.min(failures, 5));
    text("notice", `The service does not answer${status ? ` (${status})` : ""}. What is shown may be old; asking again in ${plural(delay, "second")}.`);
    show("notice");
    later(delay);
  }

  function badge(kind, word) {
    $("badge").className = `badge ${kind}`.trim();
    text("badge", word);
  }

  function draw(reply) {
    const result = reply.result && typeof reply.result === "object" ? reply.result : {};
    ended = reply.status !== "RUNNING";
    started = new Date(reply.start_time);
    stopped = reply.stop_time ? new Date(reply.stop_time) : null;
    text("title", reply.artifact_prefix);
    badge(reply.status.toLowerCase(), WORDS[reply.status]);
    drawLog(reply.logs);
    drawTitle(result);
    drawProgress(reply);
    drawFacts();
    show("failure", reply.status === "FAILED");
    if (reply.status === "FAILED") text("reason", reply.error || "The service gives no reason.");
    drawResults(reply, result);
    text("ids", `job_id: ${reply.job_id}\nexecution_status: ${reply.execution_status}${reply.error_name ? `\nerror_name: ${reply.error_name}` : ""}${reply.cause ? `\ncause: ${reply.cause}` : ""}`);
    show("technical");
  }

  function drawTitle(result) {
    const first = lines.find((line) => typeof line.record.meta_analysis_id === "string");
    const id = result.meta_analysis_id || (first && first.record.meta_analysis_id);
    const parts = [result.name, id && `meta-analysis ${id}`].filter((part) => typeof part === "string" && part);
    text("subtitle", parts.join(" · "));
  }

  function drawProgress(reply) {
    const progress = reply.progress;
    show("stages", !ended && Boolean(progress));
    show("measure", !ended && Boolean(progress));
    if (ended) {
      const took = stopped ? ` after ${duration((stopped - started) / 1000)}` : "";
      text("state", reply.status === "SUCCEEDED" ? `Done${took}.` : `Ended${took}.`);
      document.title = `${WORDS[reply.status]} · ${reply.artifact_prefix}`;
      return;
    }
    if (!progress || progress.stage === "waiting") {
      const before = progress && progress.jobs_before;
      show("stages", false);
      show("measure", false);
      text("state", before ? `Waiting: ${plural(before, "job")} before it.` : "Waiting for the task to start.");
      document.title = `Waiting · ${reply.artifact_prefix}`;
      return;
    }
    const names = Object.keys(STAGES);
    const place = names.indexOf(progress.stage);
    const list = $("stages");
    if (list.dataset.stage !== progress.stage) {
      list.dataset.stage = progress.stage;
      list.replaceChildren(...names.map((name, index) => {
        const item = make("li", STAGES[name][0]);
        if (index < place) item.className = "done";
        if (index === place) item.setAttribute("aria-current", "step");
        return item;
      }));
    }
    show("stages", place >= 0);
    text("state", place >= 0 ? `${STAGES[progress.stage][1]}.` : `${progress.stage}.`);
    const percent = typeof progress.percent === "number" ? progress.percent : null;
    show("progress", percent !== null);
    if (percent !== null) $("progress").value = percent;
    const parts = [];
    if (percent !== null) parts.push(`${Math.floor(percent)} %`);
    if (progress.total) parts.push(`${progress.completed.toLocaleString()} of ${progress.total.toLocaleString()}`);
    if (progress.shards > 1) parts.push(`on ${progress.shards} tasks`);
    parts.push(typeof progress.seconds_left === "number" ? timeLeft(progress.seconds_left) : "time left not known yet");
    text("left", parts.join(" · "));
    document.title = `${percent === null ? "" : `${Math.floor(percent)} % · `}${place >= 0 ? STAGES[progress.stage][0] : progress.stage} · ${reply.artifact_prefix}`;
  }

  function drawFacts() {
    const facts = [["Started", moment(started)]];
    if (stopped) facts.push(["Ended", moment(stopped)], ["Took", duration((stopped - started) / 1000)]);
    else facts.push(["Running for", duration((Date.now() - started) / 1000)]);
    $("facts").replaceChildren(...facts.map(([name, value]) => {
      const pair = make("div");
      pair.append(make("dt", name), make("dd", value));
      return pair;
    }));
    show("facts");
  }

  function fileLink(file, label) {
    const link = make("a", label || file.path, { href: file.url, rel: "noopener", "data-path": file.path });
    link.addEventListener("click", (event) => {
      if (Date.now() - asked < STALE_MS) return;
      event.preventDefault();
      ask().then(() => {
        const fresh = [...document.querySelectorAll("[data-path]")].find((one) => one.dataset.path === file.path);
        if (fresh) location.assign(fresh.href);
      });
    });
    return link;
  }

  const KINDS = [
    ["Maps", /\.nii(\.gz)?$/],
    ["Tables", /\.(tsv|csv)$/],
    ["Figures", /\.(png|svg)$/],
    ["Texts and records", /./],
  ];

  function drawResults(reply, result) {
    if (!ended || !Array.isArray(reply.artifacts)) return;
    const files = reply.artifacts.filter((file) => web(file.url));
    const report = files.find((file) => file.path === "report.html");
    const published = typeof result.result_url === "string" && web(result.result_url) ? result.result_url : null;
    const actions = [];
    if (report) {
      const link = fileLink(report, "Open the report and its viewer");
      link.className = "button primary";
      actions.push(link);
    }
    if (published) actions.push(make("a", "Result on Neurosynth Compose", { href: published, rel: "noopener noreferrer", class: "button" }));
    $("actions").replaceChildren(...actions);
    show("actions", actions.length > 0);
    const left = new Set(files.filter((file) => file !== report));
    const groups = [];
    for (const [name, pattern] of KINDS) {
      const group = [...left].filter((file) => pattern.test(file.path));
      group.forEach((file) => left.delete(file));
      if (!group.length) continue;
      const list = make("ul", undefined, { class: "files" });
      for (const file of group) {
        const item = make("li");
        item.append(fileLink(file), make("span", size(file.size)));
        list.append(item);
      }
      groups.push(make("h3", name), list);
    }
    $("files").replaceChildren(...groups);
    show("results", files.length > 0);
    text("results-title", reply.status === "FAILED" ? "What was written before it failed" : "Results");
  }

  function parsed(message) {
    try {
      const record = JSON.parse(message);
      if (record && typeof record === "object" && !Array.isArray(record)) return record;
    } catch { /* a line that is no record */ }
    return { message };
  }

  const printed = (value) => (typeof value === "string" ? value : JSON.stringify(value));

  function describe(record) {
    if (record.message === "workflow.stage" && STAGES[record.stage]) return `${STAGES[record.stage][1]}.`;
    if (record.message === "workflow.progress" && STAGES[record.stage] && record.total) {
      return `${STAGES[record.stage][0]}: ${Number(record.completed).toLocaleString()} of ${Number(record.total).toLocaleString()}`;
    }
    const details = ["stage", "completed", "total", "artifacts", "error"]
      .filter((name) => record[name] !== undefined && record[name] !== null)
      .map((name) => `${name}: ${printed(record[name])}`);
    return [printed(record.message === undefined ? "" : record.message), ...details].join("  ");
  }

  function drawLog(logs) {
    if (!logs || !Array.isArray(logs.events)) return;
    let added = 0;
    let order = true;
    for (const event of logs.events) {
      const key = `${event.timestamp} ${event.message}`;
      if (seen.has(key)) continue;
      seen.add(key);
      added += 1;
      if (newest !== null && event.timestamp < newest) order = false;
      newest = newest === null ? event.timestamp : Math.max(newest, event.timestamp);
      lines.push({ time: event.timestamp, record: parsed(event.message) });
    }
    if (logs.next_token && lines.length) {
      text("log-note", "The log is long; its oldest records are not shown here.");
      show("log-note");
    }
    if (!added) return;
    if (!order) lines.sort((one, other) => one.time - other.time);
    const box = $("log");
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const shown = order && box.childElementCount + added <= MAX_LINES ? lines.slice(-added) : lines.slice(-MAX_LINES);
    const items = shown.map((line) => {
      const item = make("li");
      const level = String(line.record.level || "").toLowerCase();
      if (level === "warning") item.className = "warning";
      if (level === "error" || level === "critical") item.className = "error";
      const date = new Date(line.time);
      item.append(make("time", date.toLocaleTimeString(undefined, { hour12: false }), { datetime: date.toISOString() }), make("span", describe(line.record)));
      return item;
    });
    if (shown.length === added && order) box.append(...items);
    else box.replaceChildren(...items);
    show("log-section");
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, $("token-field").value.trim());
    $("token-field").value = "";
    ask();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (ended ? Date.now() - asked > STALE_MS : timer && Date.now() - asked > seconds * 1000) ask();
  });
  show("service", embedded);
  ask();
})();
