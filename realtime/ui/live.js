// The live page: one canvas fed by one web socket. See socket.py for the protocol.
window.Tells = (() => {
  "use strict";
  const RETRY_MS = [500, 1000, 2000, 5000];
  const MOST_EVENTS = 50;
  const SILENT_MS = 3000;
  const STOPPED_S = 5;
  const SOURCES = [
    { kind: "initial", label: "As started", hint: "What Tells was started with." },
    { kind: "demo", label: "Demo clip", hint: "A short clip that comes with Tells." },
    { kind: "camera", label: "Server camera", placeholder: "Camera number", value: "0" },
    { kind: "url", label: "Stream", placeholder: "rtsp://user:password@host/path" },
    { kind: "clip", label: "Clip", placeholder: "Path of a video on the machine that runs Tells" },
    { kind: "watch", label: "Shared picture", hint: "What the host of this page shows." },
    { kind: "guest", label: "My camera", hint: "Pictures go to the machine that runs Tells, and are not kept." },
  ];
  const PHASES = {
    connecting: "Connecting", offline: "No connection", stopped: "Stopped", opening: "Opening", waiting: "Waiting",
    running: "Live", ended: "Ended", failed: "Stopped", lost: "Camera lost",
    silent: "No picture", gone: "Camera gone",
  };
  const REASONS = {
    waiting: "Collecting evidence", "too little seen": "Too little seen",
    "not sure": "Not sure", background: "No gesture",
  };
  const NOTICE = "Inferred from face and posture: let the person in the picture know. An estimate, not a fact.";
  const measured = ({ right, majority, measured_on, is_rendered }) => right == null
    ? "How often it is right was not measured." : `Measured on ${measured_on} it was right in ${right} cases`
    + (majority == null ? "" : `, where always the same answer is right in ${percent(majority)}`)
    + (is_rendered ? "; how often it is right about real people was never measured." : ".");
  const HIDDEN = "Hidden on this page only, and still inferred. The host switches inference off with --no-emotion.";
  const NOT_THERE = "No camera here: connect one and press Start.";
  const IN_USE = "The camera gives no picture: close other programs that use it, and press Start.";
  const INSECURE = "The browser gives its camera only to pages on https or localhost: open this page on the "
    + "machine that runs Tells, or through the https link that --share makes.";
  const CAMERA_ERRORS = {  // By the names that getUserMedia's errors have in all browsers.
    NotAllowedError: "The browser does not let this page use the camera; allow it beside the address.",
    NotFoundError: NOT_THERE, OverconstrainedError: NOT_THERE,
    NotReadableError: IN_USE, AbortError: IN_USE, SecurityError: INSECURE,
  };
  const GONE = "Connect it, or allow it again beside the address, and press Start.";
  const NOTHING = "none / at rest";
  const MOMENT = "How likely (of a gesture: on average since it began), for how long, and how old the moment is that this is about: the middle of the "
    + "seconds that the prediction saw, not the newest picture.";
  const TRUTH = "What the script of this clip performs at the moment that the prediction beside it is about: "
    + "the middle of the seconds that it saw, not the newest picture.";
  const fixed = (x, digits, unit = "") => (x == null ? "–" : x.toFixed(digits) + unit);
  const percent = (x) => (x == null ? "–" : Math.round(100 * x) + "%");
  const clock = (s) =>
    `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
  const noneOf = (name) => `none (${name.charAt(0).toLowerCase()}${name.slice(1)})`;
  const sentence = (s) => s.charAt(0).toUpperCase() + s.slice(1);

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text != null) node.textContent = text;
    return node;
  }

  // As in any group of radio buttons: Tab reaches the chosen one, arrow keys choose its neighbours.
  function offerTabs(group, tabs, choose) {
    group.replaceChildren(...tabs.map(({ label, key, name }, i) => {
      const tab = make("button", "", label);
      tab.type = "button";
      tab.title = label;
      tab.dataset[name] = key;
      tab.setAttribute("role", "radio");
      tab.onclick = () => choose(i, true);
      tab.onkeydown = (event) => {
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
        event.preventDefault();
        const next = (i + by + tabs.length) % tabs.length;
        choose(next, false);
        group.children[next].focus();
      };
      return tab;
    }));
  }

  function markTab(group, chosen) {
    [...group.children].forEach((tab, i) => {
      tab.setAttribute("aria-checked", i === chosen);
      tab.tabIndex = i === chosen || (chosen < 0 && i === 0) ? 0 : -1;
    });
  }

  async function paint(context, jpeg, isWanted) {
    const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    const isShown = isWanted();
    if (isShown) {
      const { canvas } = context;
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
      }
      context.drawImage(bitmap, 0, 0);
    }
    bitmap.close();
    return isShown;
  }

  // ---- all cameras at once ----------------------------------------------------------------------

  class Wall {
    constructor(place) {
      this.place = place;
      this.tiles = [];
    }

    build(cameras, look) {
      this.names = cameras;
      this.tiles = cameras.map((name, i) => {
        const tile = make("button", "tile");
        tile.type = "button";
        tile.title = `Only ${name}`;
        tile.onclick = () => look(i);
        const canvas = make("canvas");
        const [what, said, veil] = [make("span", "badge", name), make("span", "badge foot"), make("span", "veil")];
        tile.append(canvas, veil, what, said);
        return { tile, what, said, veil, context: canvas.getContext("2d", { alpha: false }) };
      });
      this.place.replaceChildren(...this.tiles.map(({ tile }) => tile));
      this.place.style.setProperty("--columns", Math.ceil(Math.sqrt(cameras.length)));
    }

    get numLive() {
      return this.tiles.filter(({ isLive }) => isLive).length;
    }

    // `seen`: camera -> its newest picture's numbers and when they came; `say`: those -> words.
    drawState(stages, seen, say) {
      stages.forEach((stage, i) => {
        const { tile, what, said, veil } = this.tiles[i];
        const newest = stage.phase === "running" || stage.phase === "ended" ? seen.get(i) : undefined;
        const since = newest ? (performance.now() - newest.received) / 1000 : 0;
        let text = "";
        if (stage.phase === "failed" || stage.phase === "ended") text = stage.message;
        else if (stage.phase !== "running") text = PHASES[stage.phase];
        else if (!newest) text = stage.message || "Waiting for the first picture";
        else if (!newest.head.status.connected) {
          text = `Lost for ${Math.round(newest.head.status.lost_for_s + since)} s, trying again`;
        } else if (since > SILENT_MS / 1000) text = `No picture for ${Math.round(since)} s`;
        this.tiles[i].isLive = stage.phase === "running" && Boolean(newest) && !text;
        what.textContent = stage.source || this.names[i];  // A stage that was stopped names none.
        veil.textContent = text;
        veil.hidden = !text;
        tile.classList.toggle("dim", Boolean(text));
        tile.classList.toggle("blank", !newest);
        said.textContent = newest && !text ? say(newest.head) : "";
        said.hidden = !said.textContent;
      });
    }
  }

  // ---- what is shown -------------------------------------------------------------------------

  class View {
    constructor(root) {
      this.root = root;
      this.at = (id) => root.querySelector(`[data-id="${id}"]`);
      this.canvas = this.at("canvas").getContext("2d", { alpha: false });
      this.wall = new Wall(this.at("wall"));
      this.bars = [];
      this.state = { phase: "connecting", source: "", message: "", mode: "shared" };
      this.seen = new Map();  // Camera -> the numbers of its newest picture, and when they came.
      this.numEvents = new Map();
      this.isGone = false;  // This browser's camera, while it is what is shown.
      this.status = new Map();
      this.emotionOn = true;
      this.at("emotion-on").onchange = (event) => this.showEmotion(event.target.checked);
      this.at("full").onclick = () =>
        document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen?.();
    }

    hello(message) {
      const [gesture, emotion] = ["events", "state"].map((kind) =>
        message.tasks.find((task) => task.kind === kind));
      this.gesture = gesture;
      this.emotion = emotion;
      const untrained = message.bundles.some((bundle) => bundle.untrained);
      const names = message.bundles.map((bundle) => bundle.id).join(" + ");
      this.fixedRows = [
        ["Runtime", message.runtime],
        ["Bundle", `${names}, ${untrained ? "untrained" : "trained"}`, untrained],
      ];
      this.at("untrained").hidden = !untrained;
      this.at("gestures").hidden = !gesture;
      this.at("emotion").hidden = !emotion && !message.emotion_off;
      this.root.querySelector(".switch").hidden = !emotion;
      if (emotion) {
        this.setGauge(emotion);
        this.showEmotion(this.emotionOn);  // After a reconnection, too, it stays as the viewer chose.
      } else {
        this.at("emotion-body").hidden = true;
        this.at("emotion-note").textContent = "The host has switched emotion inference off.";
      }
      this.clearEvents();
      this.drawState();
    }

    get isAll() {
      return this.state.mode === "all";
    }

    get newest() {
      return this.isAll ? undefined : [...this.seen.values()][0];
    }

    get head() {
      return this.newest?.head ?? null;
    }

    get received() {
      return this.newest?.received ?? 0;
    }

    notice() {
      return `${NOTICE} ${measured(this.emotion)}`;
    }

    setGauge(task) {
      const [low, high] = task.classes.includes("positive")
        ? [task.classes.find((name) => name !== "positive"), "positive"] : task.classes;
      this.gaugeHigh = high;
      this.at("emotion-low").textContent = sentence(low);
      this.at("emotion-high").textContent = sentence(high);
      const on = 100 * task.on;  // Either side is decided from `on` upwards; between them: not sure.
      this.at("gauge-unsure").style.strokeDasharray = `0 ${100 - on} ${Math.max(0, 2 * on - 100)} 200`;
      this.at("gauge-high").style.strokeDasharray = `0 ${Math.max(on, 50)} 100`;
    }

    showEmotion(on) {
      this.emotionOn = on;
      this.at("emotion-body").hidden = this.isAll || !on;
      this.at("emotion-note").textContent = on ? this.notice() : HIDDEN;
      if (!on) this.drawNow("emotion", {});  // What was said then is not true when it comes back.
      this.drawTruths(this.head?.truths ?? []);
    }

    setState(state) {
      const isNew = ["source", "mode", "camera"].some((name) => state[name] !== this.state[name]);
      const isOther = state.phase === "opening" || (isNew && state.phase === "running");
      if (isOther) this.clearEvents();  // Not on stop: what was seen may still be read.
      if (isNew || !["running", "ended", "offline"].includes(state.phase)) this.clear();
      state.stages?.forEach(({ phase, source }, i) => {  // What is shown there now has no picture yet.
        const isSame = source === this.state.stages?.[i]?.source;
        if (!isSame || !["running", "ended"].includes(phase)) this.seen.delete(i);
      });
      this.state = state;
      const { isAll } = this;
      this.root.dataset.mode = state.mode;
      for (const name of ["canvas", "full"]) this.at(name).hidden = isAll;
      this.at("wall").hidden = !isAll;
      this.at("gestures").hidden = isAll || !this.gesture;
      if (this.emotion) this.at("emotion-body").hidden = isAll || !this.emotionOn;
      this.at("source").textContent = state.source;
      this.drawState();
    }

    clear() {
      this.seen.clear();
      this.canvas.fillRect(0, 0, this.canvas.canvas.width, this.canvas.canvas.height);
      this.bars = [];
      this.at("bars").replaceChildren();
      for (const name of ["gesture", "emotion"]) this.drawNow(name, {});
      this.drawTruths([]);
      this.at("needle").style.transform = "";
      this.at("needle").classList.add("unsure");
      this.drawNumbers();
    }

    clearEvents() {
      this.at("events").replaceChildren(make("li", "empty", "Gestures appear here when they end."));
      this.at("event-count").textContent = "";
      this.numEvents.clear();
    }

    async draw(head, jpeg) {
      const { state, isAll } = this;
      const context = isAll ? this.wall.tiles[head.camera].context : this.canvas;
      // Not if it was stopped or exchanged meanwhile.
      const isWanted = () => ["running", "ended"].includes(state.phase) && this.state === state;
      if (!(await paint(context, jpeg, isWanted))) return;
      this.seen.set(head.camera, { head, received: performance.now() });
      this.addEvents(head);
      if (isAll) return;
      this.drawEstimates(head.estimates);
      this.drawTruths(head.truths);
    }

    // What a tile says of its camera: the gesture and the emotion, where they are decided.
    say({ estimates }) {
      const tasks = [this.gesture, this.emotionOn && this.emotion].filter(Boolean).map(({ task }) => task);
      return estimates.filter(({ task, label }) => label && tasks.includes(task))
        .map(({ label, prob }) => `${sentence(label)} ${percent(prob)}`).join("\n");
    }

    get phase() {
      if (this.state.phase !== "running" || this.isAll) return this.state.phase;
      if (this.isGone && this.state.mode === "guest") return "gone";
      if (!this.head) return "waiting";
      if (!this.head.status.connected) return "lost";
      return performance.now() - this.received > SILENT_MS ? "silent" : "running";
    }

    // A few times a second, because a lost camera sends no pictures that would carry the time on.
    drawState() {
      const { phase, state } = this;
      this.root.dataset.phase = phase;
      if (this.isAll) this.wall.drawState(state.stages, this.seen, (head) => this.say(head));
      this.at("phase").textContent = this.isAll && phase === "running"
        ? `${this.wall.numLive} of ${state.stages.length} live` : PHASES[phase];
      const since = (performance.now() - this.received) / 1000;
      let [title, text] = ["", state.message];
      if (phase === "lost") {
        const seconds = Math.round(this.head.status.lost_for_s + since);
        const then = state.mode === "guest" ? "" : ", trying again";
        [title, text] = [`Lost for ${seconds} s${then}`, this.head.status.message];
      } else if (phase === "gone") [title, text] = ["This browser's camera has gone", GONE];
      else if (phase === "silent") [title, text] = [`No picture for ${Math.round(since)} s`, ""];
      else if (phase === "opening") [title, text] = ["Opening", state.source];
      else if (phase === "stopped") [title, text] = ["Stopped", text || "Choose a source and press Start."];
      else if (phase === "failed") title = "This source does not work";
      else if (phase === "ended") title = "Ended";
      else if (phase === "offline") [title, text] = ["No connection to Tells", text || "Trying again."];
      else if (phase === "connecting") title = "Connecting";
      else if (phase === "waiting") title = "Waiting for the first picture";
      this.at("veil").hidden = !title;
      this.at("veil-title").textContent = title;
      this.at("veil-text").textContent = text;
      this.at("source").hidden = !state.source || phase === "offline";
    }

    drawEstimates(estimates) {
      const find = (task) => task && estimates.find((estimate) => estimate.task === task.task);
      const gesture = find(this.gesture);
      if (gesture) {
        this.drawNow("gesture", gesture);
        this.drawBars(gesture);
      }
      const emotion = find(this.emotion);
      if (emotion && this.emotionOn) {
        this.drawNow("emotion", emotion);
        const high = emotion.top.find(([name]) => name === this.gaugeHigh);
        this.at("needle").style.transform = `rotate(${high ? 180 * high[1] - 90 : 0}deg)`;
        this.at("needle").classList.toggle("unsure", !emotion.label);
      }
    }

    drawNow(name, { label, prob, reason, for_s, ago_s }) {
      const now = this.at(`${name}-now`);
      now.classList.toggle("abstains", !label);
      now.textContent = now.title = label ? sentence(label) : REASONS[reason] || sentence(reason || "–");
      const kind = name === "gesture" ? "mean " : "";  // Its bar says what is likely at the moment.
      this.at(`${name}-for`).textContent = label
        ? `${kind}${percent(prob)} for ${fixed(for_s, 1, " s")}, ${fixed(ago_s, 1, " s ago")}` : "";
      this.at(`${name}-for`).title = MOMENT;
    }

    drawTruths(truths) {
      for (const [name, task] of [["gesture", this.gesture], ["emotion", this.emotionOn && this.emotion]]) {
        const row = this.at(`${name}-truth`);
        const truth = task && truths.find((truth) => truth.task === task.task);
        row.hidden = !truth;
        if (!truth) continue;
        row.title = TRUTH;
        row.classList.toggle("nothing", !truth.label);
        const said = make("span", "name", truth.label ?? NOTHING);
        row.replaceChildren(make("b", "", "Truth"), said, make("small", "", fixed(truth.ago_s, 1, " s ago")));
      }
    }

    drawBars({ top, label }) {
      while (this.bars.length > top.length) this.bars.pop().row.remove();
      top.slice(0, 5).forEach(([name, prob], i) => {
        const bar = (this.bars[i] ??= this.addBar());
        const isBackground = name === this.gesture.background;
        bar.name.textContent = bar.name.title = isBackground ? noneOf(name) : name;
        bar.prob.replaceChildren(...(i ? [] : [make("small", "", "latest ")]), percent(prob));
        bar.fill.style.transform = `scaleX(${prob})`;
        bar.row.classList.toggle("decided", name === label);
        bar.row.classList.toggle("background", isBackground);
      });
    }

    addBar() {
      const row = make("li");
      const [name, prob, track, fill] =
        ["name", "prob", "track", "fill"].map((part) => make(part === "fill" ? "i" : "span", part));
      track.append(fill);
      row.append(name, prob, track);
      this.at("bars").append(row);
      return { row, name, prob, fill };
    }

    addEvents({ events, camera, t, status }) {
      const list = this.at("events");
      const now = performance.now() / 1000 - (status.lost_for_s ?? 0);
      for (const event of events) {
        list.querySelector(".empty")?.remove();
        const row = make("li");
        const name = make("span", "name", event.label);
        if (this.isAll) name.append(make("small", "", this.state.stages[camera].source));
        row.append(
          make("time", "", clock(event.start)), name,
          make("span", "length", fixed(event.end - event.start, 1, " s")),
          make("span", "peak", percent(event.peak)));
        // Each camera has its own seconds, and whoever comes is told of one camera after the other.
        row.ended = now - t + event.end;
        const older = [...list.children].find(({ ended }) => ended <= row.ended);
        list.insertBefore(row, (this.isAll ? older : list.firstChild) ?? null);
        this.numEvents.set(camera, event.number);
        this.at("event-count").textContent = [...this.numEvents.values()].reduce((a, b) => a + b);
      }
      while (list.children.length > MOST_EVENTS) list.lastElementChild.remove();
    }

    drawNumbers() {
      // Of all cameras together: losses as sums, of those that are live rates, too, and the worst of times.
      const seen = [...this.seen].map(([camera, { head, received }]) =>
        ({ ...head.status, since: (performance.now() - received) / 1000, camera }));
      const live = this.isAll ? seen.filter(({ camera }) => this.wall.tiles[camera]?.isLive) : seen;
      const known = (of) => live.map(of).filter((x) => x != null);
      const sum = (of, from = live) => (from.length ? from.reduce((all, s) => all + (of(s) ?? 0), 0) : null);
      const worst = (of) => (known(of).length ? Math.max(...known(of)) : null);
      const age = worst((s) => (s.prediction_age_s == null ? null : s.prediction_age_s + s.since));
      const [p50, p95] = [worst((s) => s.latency_p50_s), worst((s) => s.latency_p95_s)];
      const dropped = `${sum((s) => s.frames_dropped, seen)} frames, ${sum((s) => s.windows_dropped, seen)} windows`;
      const rows = [
        ["Capture", fixed(sum((s) => s.capture_hz), 1, " fps")],
        ["Perception", fixed(sum((s) => s.perception_hz), 1, " fps")],
        ["Prediction", fixed(sum((s) => s.prediction_hz), 1, " /s")],
        ["Age of prediction", fixed(age, 2, " s"), age > 1],
        ["Latency p50 / p95", `${fixed(p50, 2)} / ${fixed(p95, 2, " s")}`],
        ["Dropped", seen.length ? dropped : "–"],
        ...(this.fixedRows ?? []),
      ];
      for (const [name, text, isBad] of rows) {
        let value = this.status.get(name);
        if (!value) {
          const cell = make("div");
          value = make("strong");
          cell.append(make("span", "", name), value);
          this.at("status").append(cell);
          this.status.set(name, value);
        }
        value.textContent = text;
        value.classList.toggle("bad", Boolean(isBad));
      }
      const hasStopped = this.phase === "running" && !this.isAll && age > STOPPED_S;
      this.root.classList.toggle("stopped", hasStopped);
      const note = this.phase === "running"
        && (hasStopped ? `No new prediction for ${Math.round(age)} s` : this.head?.status.message || this.head?.following);
      this.at("note").hidden = !note;
      this.at("note").textContent = note || "";
    }
  }

  // ---- this browser's camera ------------------------------------------------------------------

  class Camera {
    constructor(send, onGone) {
      this.send = send;
      this.onGone = onGone;
      this.video = document.createElement("video");
      this.video.muted = this.video.playsInline = true;
      this.canvas = document.createElement("canvas");
      this.isFresh = this.inFlight = false;
    }

    async start() {
      if (!navigator.mediaDevices?.getUserMedia) {
        throw new DOMException(INSECURE, "SecurityError");
      }
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } }, audio: false,
      });
      // Unplugged, or no longer allowed; not heard after `stop`.
      for (const track of this.stream.getTracks()) track.onended = this.onGone;
      this.video.srcObject = this.stream;
      await this.video.play();
      const onFrame = (now) => {
        if (!this.stream) return;
        this.isFresh = true;
        this.now = now / 1000;
        this.pump();
        this.video.requestVideoFrameCallback(onFrame);
      };
      this.video.requestVideoFrameCallback(onFrame);
    }

    pump() {
      if (!this.stream || !this.isFresh || this.inFlight) return;
      this.isFresh = false;
      this.inFlight = true;
      const scale = Math.min(1, 960 / Math.max(this.video.videoWidth, this.video.videoHeight));
      this.canvas.width = Math.round(this.video.videoWidth * scale);
      this.canvas.height = Math.round(this.video.videoHeight * scale);
      this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
      const seconds = new Float64Array([this.now]);
      this.canvas.toBlob((jpeg) => this.stream && this.send(new Blob([seconds, jpeg])), "image/jpeg", 0.85);
    }

    taken() {
      this.inFlight = false;
      this.pump();
    }

    stop() {
      this.stream?.getTracks().forEach((track) => track.stop());
      this.stream = this.video.srcObject = null;
    }
  }

  // ---- the page --------------------------------------------------------------------------------

  class Page {
    constructor(root) {
      this.view = new View(root);
      this.at = this.view.at;
      this.numFailed = 0;
      this.at("controls").onsubmit = (event) => (event.preventDefault(), this.start());
      this.at("stop").onclick = () => this.stop();
      this.connect();
      this.clock = setInterval(() => this.tick(root), 250);
    }

    tick(root) {
      if (!root.isConnected) {
        clearInterval(this.clock);
        this.camera?.stop();
        return this.socket.close();
      }
      this.view.drawState();
      this.view.drawNumbers();
    }

    connect() {
      const base = new URL(window.gradio_config?.root || ".", location.href);
      base.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      base.host = location.host;
      base.search = base.hash = "";
      base.pathname = base.pathname.replace(/\/?$/, "/live/ws");
      this.socket = new WebSocket(base);
      this.socket.binaryType = "arraybuffer";
      this.socket.onmessage = ({ data }) =>
        typeof data === "string" ? this.hear(JSON.parse(data)) : this.see(data);
      this.socket.onclose = (event) => this.disconnected(event);
    }

    disconnected({ code, reason }) {
      if (code === 4401) return location.reload();
      this.camera?.stop();
      this.camera = null;
      this.view.setState({ ...this.view.state, phase: "offline", message: reason });
      const wait = RETRY_MS[Math.min(this.numFailed++, RETRY_MS.length - 1)];
      setTimeout(() => this.view.root.isConnected && this.connect(), code === 4408 ? 10000 : wait);
    }

    tell(message) {
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    }

    hear(message) {
      if (message.type === "hello") {
        this.numFailed = 0;
        this.mayChoose = message.may_choose;
        this.view.hello(message);
        this.offer(message);
        const { mode, camera } = this.view.state;  // After a reconnection, too, the viewer looks at it.
        if (mode === "shared" && message.cameras.length > Math.max(camera, 1)) this.tell({ type: "look", camera });
      } else if (message.type === "state") {
        this.view.setState(message);
        markTab(this.at("cameras"), message.mode === "guest" ? -1 : (message.camera ?? -1) + 1);
      }
      else if (message.type === "taken") this.camera?.taken();
      else if (message.type === "notice") this.refused(message.text);
      this.enable();
    }

    async see(data) {
      const length = new DataView(data).getUint32(0, true);
      const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
      try {
        await this.view.draw(head, new Uint8Array(data, 4 + length));
      } finally {
        this.tell({ type: "drawn" });
      }
    }

    offer({ may_choose, has_demo, cameras }) {
      const isThere = {
        initial: may_choose && cameras.length, demo: may_choose && has_demo, guest: true, watch: !may_choose,
      };
      this.offered = SOURCES.filter(({ kind }) => (kind in isThere ? isThere[kind] : may_choose));
      const labels = this.offered.map(({ kind, label }) =>
        ({ label: kind === "initial" && cameras.length === 1 ? cameras[0] : label, key: kind, name: "kind" }));
      offerTabs(this.at("tabs"), labels, (i, byHand) => this.choose(this.offered[i], byHand));
      this.choose(this.offered.find(({ kind }) => kind === this.source?.kind) ?? this.offered[0]);
      this.offerCameras(cameras);
    }

    offerCameras(cameras) {
      this.at("cameras").hidden = cameras.length < 2;
      if (cameras.length < 2) return;
      const look = (camera) => {
        this.camera?.stop();
        this.camera = null;
        this.complain("");
        this.tell({ type: "look", camera });
      };
      const labels = ["All cameras", ...cameras].map((label, i) => ({ label, key: i - 1, name: "camera" }));
      offerTabs(this.at("cameras"), labels, (i) => look(i ? i - 1 : null));
      this.view.wall.build(cameras, (i) => {
        this.at("cameras").children[i + 1].focus({ preventScroll: true });  // The tile goes.
        look(i);
      });
    }

    choose(source, byHand = false) {
      const isNew = source !== this.source;
      this.source = source;
      markTab(this.at("tabs"), this.offered.indexOf(source));
      const input = this.at("value");
      input.hidden = !source.placeholder;
      if (isNew) input.value = source.value ?? "";
      input.placeholder = source.placeholder ?? "";
      input.inputMode = source.kind === "camera" ? "numeric" : "text";
      this.complain("");
      input.oninput = () => input.classList.toggle("secret", /:\/\/[^/]*@/.test(input.value));
      input.oninput();
      if (byHand && source.placeholder) input.focus();
      this.enable();
    }

    enable() {
      const { phase, mode } = this.view.state;
      const needsOne = mode === "all" && !["guest", "watch"].includes(this.source?.kind);
      this.at("hint").textContent = needsOne ? "Choose one camera above to exchange it." : this.source?.hint ?? "";
      const canStop = (this.mayChoose || mode === "guest") && ["running", "opening"].includes(phase);
      this.at("stop").disabled = !canStop || mode === "all";
      this.at("start").disabled = !this.source || phase === "offline"
        || (this.source.kind === "watch" && mode !== "guest") || needsOne;
    }

    async start() {
      this.complain("");
      if (this.source.kind !== "guest") {
        this.camera?.stop();
        this.camera = null;
      }
      if (this.source.kind === "watch") return this.tell({ type: "watch" });
      if (this.source.kind !== "guest") {
        return this.tell({ type: "start", kind: this.source.kind, value: this.at("value").value });
      }
      this.camera?.stop();
      const camera = (this.camera = new Camera((data) => this.socket.send(data), () => this.lose(camera)));
      try {
        await camera.start();
        if (this.camera !== camera) return camera.stop();  // Meanwhile something else was chosen.
        this.view.isGone = false;
        this.tell({ type: "guest" });
      } catch (error) {
        camera.stop();
        if (this.camera !== camera) return;
        this.camera = null;
        this.complain(CAMERA_ERRORS[error.name] ?? `The camera does not start: ${error.message}`);
      }
    }

    stop() {
      const isGuest = this.view.state.mode === "guest";
      this.camera?.stop();
      this.camera = null;
      this.tell({ type: isGuest ? "watch" : "stop" });
    }

    lose(camera) {
      if (this.camera !== camera) return;
      camera.stop();
      this.camera = null;
      this.view.isGone = true;
      this.view.drawState();
    }

    refused(text) {
      this.complain(text);
      if (this.view.state.mode === "guest") return;
      this.camera?.stop();
      this.camera = null;
    }

    complain(text) {
      this.at("error").textContent = text;
      this.at("error").hidden = !text;
    }
  }

  return { mount: (element) => new Page(element.querySelector(".tells")) };
})();
