
"use strict";
(() => {
  const TOKEN = "compose-runner-token";
  const WORDS = { RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed" };
  const STAGES = Object.assign(Object.create(null), { fetch: "fetching", select: "selecting", fit: "fitting", correct: "correcting", diagnose: "diagnosing", write: "writing", upload: "storing", publish: "publishing" });
  const BUSY_SECONDS = 3;
  const IDLE_SECONDS = 30;
  const HIDDEN_FACTOR = 6;
  const MOST_BYTES = 128 * 1024 * 1024;
  const $ = (id) => document.getElementById(id);
  let timer = 0;
  let busy = false;
  let shown = "";

  const show = (id, on = true) => { $(id).hidden = !on; };
  const text = (id, value) => { if ($(id).textContent !== value) $(id).textContent = value; };
  const make = (name, content, attributes = {}) => {
    const element = document.createElement(name);
    if (content !== undefined) element.textContent = content;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const age = (date) => {
    const seconds = Math.max(0, (Date.now() - date) / 1000);
    if (seconds < 60) return "just now";
    if (seconds < 5400) return `${plural(Math.round(seconds / 60), "minute")} ago`;
    if (seconds < 129600) return `${plural(Math.round(seconds / 3600), "hour")} ago`;
    return `${plural(Math.round(seconds / 86400), "day")} ago`;
  };
  const web = (address) => {
    try { return ["http:", "https:"].includes(new URL(address).protocol); } catch { return false; }
  };

  async function call(path, options = {}) {
    const headers = { Accept: "application/json", ...options.headers };
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    let reply = null;
    try { reply = await answer.json(); } catch { /* a proxy's page, or nothing */ }
    if (answer.status === 401) lock();
    return [answer.status, reply && typeof reply === "object" ? reply : {}];
  }

  function lock() {
    sessionStorage.removeItem(TOKEN);
    clearTimeout(timer);
    text("summary", "The service tells nobody without its token.");
    show("service", false);
    show("token");
    $("token-field").focus();
  }

  function later(seconds) {
    clearTimeout(timer);
    timer = setTimeout(refresh, seconds * 1000 * (document.hidden ? HIDDEN_FACTOR : 1));
  }

  async function refresh() {
    if (busy) return;
    busy = true;
    let status = 0;
    let reply = {};
    try { [status, reply] = await call("/jobs"); } catch { /* no answer */ }
    busy = false;
    if (status === 401) return;
    show("service");
    show("token", false);
    if (status !== 200 || !Array.isArray(reply.jobs)) {
      text("notice", "The service does not answer. What is shown may be old; asking again.");
      show("notice");
      later(IDLE_SECONDS);
      return;
    }
    show("notice", false);
    draw(reply.jobs);
    later(reply.jobs.some((job) => job.status === "RUNNING") ? BUSY_SECONDS : IDLE_SECONDS);
  }

  function draw(jobs) {
    const running = jobs.filter((job) => job.status === "RUNNING").length;
    text("summary", jobs.length ? `${plural(jobs.length, "job")}, ${running} running` : "No jobs yet. Start one below.");
    show("table", jobs.length > 0);
    // rows that did not change keep the focus of somebody who uses the keyboard
    const now = JSON.stringify([jobs, jobs.map((job) => age(new Date(job.start_time)))]);
    if (now === shown) return;
    shown = now;
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : undefined;
    $("rows").replaceChildren(...jobs.map(row));
    if (focused) {
      const again = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused);
      if (again) again.focus();
    }
  }

  function row(job) {
    const line = make("tr");
    const name = make("th", undefined, { scope: "row" });
    const page = `/status/jobs/${encodeURIComponent(job.job_id)}`;
    name.append(make("a", job.artifact_prefix, { href: page, "data-key": `job ${job.artifact_prefix}` }));
    const state = make("td", undefined, { "data-label": "State" });
    state.append(make("span", WORDS[job.status], { class: `badge ${job.status.toLowerCase()}` }));
    if (job.status === "RUNNING") state.append(make("div", progress(job), { class: "aside" }));
    if (job.error) state.append(make("div", job.error.length > 200 ? `${job.error.slice(0, 200)}…` : job.error, { class: "aside" }));
    const title = make("td", undefined, { "data-label": "Meta-analysis" });
    title.append(job.name || job.meta_analysis_id || "");
    const detail = [job.name && job.meta_analysis_id, job.estimator].filter(Boolean).join(" · ");
    if (detail) title.append(make("div", detail, { class: "aside" }));
    const started = new Date(job.start_time);
    const when = make("td", undefined, { class: "number", "data-label": "Started" });
    when.append(make("time", age(started), { datetime: job.start_time, title: started.toLocaleString() }));
    const result = make("td", undefined, { class: "brief", "data-label": "Result" });
    if (job.report) {
      const report = make("a", "Report", { href: page, "aria-label": `Report of ${job.artifact_prefix}`, "data-key": `report ${job.artifact_prefix}` });
      report.addEventListener("click", (event) => openReport(event, job));
      result.append(report);
    }
    if (typeof job.result_url === "string" && web(job.result_url)) {
      if (job.report) result.append(" · ");
      result.append(make("a", "Compose", { href: job.result_url, rel: "noopener noreferrer", "aria-label": `Result of ${job.artifact_prefix} on Neurosynth Compose` }));
    }
    if (!result.hasChildNodes()) result.append(make("span", "–", { "aria-label": "none" }));
    line.append(name, state, title, when, result);
    return line;
  }

  function progress(job) {
    const record = job.progress;
    if (!record || typeof record !== "object") return "waiting for its task";
    if (record.stage === "waiting") return record.jobs_before ? `waiting, ${plural(record.jobs_before, "job")} before it` : "waiting for its task";
    const percent = typeof record.percent === "number" ? ` ${Math.floor(record.percent)} %` : "";
    return `${STAGES[record.stage] || record.stage || ""}${percent}`;
  }

  async function openReport(event, job) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    try {
      const body = JSON.stringify({ artifact_prefix: job.artifact_prefix, expires_in: 3600 });
      const [, reply] = await call("/results", { method: "POST", body, headers: { "Content-Type": "application/json" } });
      const report = (reply.artifacts || []).find((file) => file.path === "report.html");
      if (report && web(report.url)) return location.assign(report.url);
    } catch { /* the job's page says more */ }
    return location.assign(`/status/jobs/${encodeURIComponent(job.job_id)}`);
  }

  function say(id, message, bad = false) {
    $(id).className = bad ? "message bad" : "message";
    $(id).replaceChildren(message);
  }

  async function start(form, id, send) {
    const button = form.querySelector("button");
    button.disabled = true;
    say(id, "Sending…");
    try {
      const [status, reply] = await send();
      if (status === 202) {
        const words = make("span", reply.error ? `It cannot run: ${reply.error} ` : "Started: ");
        words.append(make("a", reply.artifact_prefix, { href: `/status/jobs/${encodeURIComponent(reply.job_id)}` }));
        say(id, words, Boolean(reply.error));
        form.reset();
        refresh();
      } else if (status !== 401) {
        say(id, typeof reply.error === "string" ? reply.error : `The service answers ${status}.`, true);
      }
    } catch (error) {
      say(id, error instanceof TypeError ? "The service does not answer." : error.message, true);
    }
    button.disabled = false;
  }

  // an address of Compose ends in the id
  const lastPart = (typed) => typed.trim().split(/[?#]/)[0].split("/").filter(Boolean).pop() || "";

  $("submit-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const payload = {
      meta_analysis_id: lastPart($("meta-analysis").value),
      environment: $("environment").value,
      no_upload: !$("publish").checked,
      artifact_prefix: $("submit-name").value.trim(),
    };
    start(event.target, "submit-message", () =>
      call("/submit", { method: "POST", body: JSON.stringify(payload), headers: { "Content-Type": "application/json" } }));
  });

  async function content(file) {
    if (file.size > MOST_BYTES) throw new Error("The file is larger than 128 MB.");
    const first = new Uint8Array(await file.slice(0, 2).arrayBuffer());
    if (first[0] !== 0x1f || first[1] !== 0x8b) return file;
    const pieces = [];
    let size = 0;
    const reader = file.stream().pipeThrough(new DecompressionStream("gzip")).getReader();
    for (;;) {
      let piece;
      try { piece = await reader.read(); } catch { throw new Error("The file is not whole: it cannot be unpacked."); }
      if (piece.done) return new Blob(pieces);
      size += piece.value.length;
      if (size > MOST_BYTES) throw new Error("The file is larger than 128 MB when it is unpacked.");
      pieces.push(piece.value);
    }
  }

  $("bundle-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const file = $("bundle").files[0];
    const name = $("bundle-name").value.trim();
    start(event.target, "bundle-message", async () => {
      const body = await content(file);
      const query = name ? `?artifact_prefix=${encodeURIComponent(name)}` : "";
      return call(`/bundles${query}`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    });
  });
  const drop = $("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer && event.dataTransfer.files.length) $("bundle").files = event.dataTransfer.files;
  });
  // a file that misses the field must not replace the page
  for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, $("token-field").value.trim());
    $("token-field").value = "";
    refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && timer) refresh(); });
  refresh();
})();
