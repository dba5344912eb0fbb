"use strict";
// The report's viewer: NiiVue with this page's own maps. It asks nobody for anything.
(() => {
  const root = document.querySelector(".viewer");
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const config = JSON.parse(part("config").textContent);
  const NEAR_MM = 4;
  const GRID = { shape: [91, 109, 91], start: [-90, -126, -72], step: 2 };
  const live = part("live"), stills = part("stills"), canvas = part("canvas");
  const fields = { x: part("x"), y: part("y"), z: part("z") };
  const loaded = new Map();
  let engine = null, current = -1, wanted = -1, ready = null, place = config.start;

  const bytesOf = (base64) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };
  const unpack = (name) => new Response(new Blob([bytesOf(part(name).textContent.trim())]).stream()
    .pipeThrough(new DecompressionStream("gzip")));
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const minus = (value, digits) => (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");

  // complementary error function, fractional error below 1.2e-7 everywhere (Press et al., Numerical Recipes, 6.2)
  const erfc = (x) => {
    const t = 1 / (1 + 0.5 * Math.abs(x));
    const tail = t * Math.exp(-x * x - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 +
      t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 +
      t * (-0.82215223 + t * 0.17087277)))))))));
    return x >= 0 ? tail : 2 - tail;
  };
  const probability = (map, value) => {
    if (map.kind === "p") return value;
    if (map.kind === "logp") return 10 ** -value;
    if (map.kind !== "z") return null;
    return map.tails === 2 ? erfc(Math.abs(value) / Math.SQRT2) : 0.5 * erfc(value / Math.SQRT2);
  };
  const shownProbability = (p) => {
    if (p >= 0.001) return p.toFixed(p < 0.1 ? 4 : 2);
    if (p < 1e-300) return "< 1e\u2212300";
    return p.toExponential(1).replace("-", "\u2212");
  };

  // anatomical labels, as in the tables: the region at the place, or the nearest one with its distance
  const near = [];
  for (let i = -2; i <= 2; i++) for (let j = -2; j <= 2; j++) for (let k = -2; k <= 2; k++) {
    const mm = Math.hypot(i, j, k) * GRID.step;
    if (mm <= NEAR_MM) near.push([i, j, k, mm]);
  }
  near.sort((a, b) => a[3] - b[3]);
  const region = (atlas, grid, xyz) => {
    const voxel = xyz.map((mm, axis) => Math.round((mm - GRID.start[axis]) / GRID.step));
    for (const [i, j, k, mm] of near) {
      const at = [voxel[0] + i, voxel[1] + j, voxel[2] + k];
      if (at.some((index, axis) => index < 0 || index >= GRID.shape[axis])) continue;
      const value = grid[at[0] + GRID.shape[0] * (at[1] + GRID.shape[1] * at[2])];
      if (!value) continue;
      let name = atlas.names[value];
      if (!/^(Left|Right|Midline) /.test(name)) {
        const x = GRID.start[0] + GRID.step * at[0];
        name = `${x < 0 ? "Left" : x > 0 ? "Right" : "Midline"} ${name}`;
      }
      return mm ? `${mm.toFixed(0)} mm from ${name[0].toLowerCase()}${name.slice(1)}` : name;
    }
    return "no label";
  };

  const dark = matchMedia("(prefers-color-scheme: dark)"), still = matchMedia("(prefers-reduced-motion: reduce)");
  const dress = (engine) => {
    const black = dark.matches;
    engine.opts.backColor = black ? [0, 0, 0, 1] : [1, 1, 1, 1];
    engine.opts.fontColor = black ? [0.75, 0.8, 0.85, 1] : [0.3, 0.36, 0.43, 1];
    engine.opts.crosshairColor = black ? [0.35, 0.75, 0.88, 1] : [0.04, 0.42, 0.56, 1];
    const rim = black ? [0, 34] : [255, 92];
    const greys = [...rim, 250];
    engine.addColormap("anatomy", { R: greys, G: greys, B: greys, A: [0, 20, 128], I: [0, 24, 255] });
    canvas.parentElement.style.backgroundColor = black ? "#000" : "#fff";
  };

  const ramp = (colours) => {
    const at = (channel) => colours.map((colour) => colour[channel]);
    // the first entry is what lies below the threshold: transparent
    return { R: [0, ...at(0)], G: [0, ...at(1)], B: [0, ...at(2)], A: [0, ...colours.map(() => 255)],
      I: [0, ...colours.map((_, i) => 1 + Math.round((254 * i) / (colours.length - 1)))] };
  };
  const paintKey = (name, colours) => {
    const bar = part(name), pen = bar.getContext("2d");
    const fill = pen.createLinearGradient(0, 0, bar.width, 0);
    colours.forEach((colour, i) => fill.addColorStop(i / (colours.length - 1), `rgb(${colour})`));
    pen.fillStyle = fill;
    pen.fillRect(0, 0, bar.width, bar.height);
  };

  const say = (text) => {
    part("state").textContent = text;
    part("state").hidden = !text;
  };
  const valueAt = (volume, xyz) => {
    const [i, j, k] = volume.mm2vox(xyz);
    const [, nx, ny, nz] = volume.dimsRAS;
    if (i < 0 || j < 0 || k < 0 || i >= nx || j >= ny || k >= nz) return null;
    return volume.getValue(i, j, k);
  };

  const read = () => {
    const map = config.maps[current], volume = engine.volumes[1];
    for (const [axis, field] of Object.entries(fields)) {
      const text = (Number(place["xyz".indexOf(axis)].toFixed(1)) || 0).toString();
      if (field !== document.activeElement) field.value = text;
    }
    part("coordinates").textContent = place.map((mm) => minus(mm, 0)).join(", ") + " mm";
    const value = volume ? valueAt(volume, place) : null;
    part("quantity").textContent = map.quantity;
    part("value").textContent = value === null ? "outside" : minus(value, 3);
    const p = value === null ? null : probability(map, value);
    part("p-entry").hidden = p === null && map.kind !== "z";
    part("p-name").textContent = map.kind === "z" ? `p (${map.tails === 1 ? "one" : "two"}-tailed)` : "p";
    part("p").textContent = p === null ? "" : shownProbability(p);
    config.atlases.forEach((atlas, index) => {
      part(`label-${index}`).textContent = atlas.grid ? region(atlas, atlas.grid, place) : "";
    });
  };

  let waiting = 0; // a slider says more often that it moved than a picture can be drawn
  const soon = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      apply();
    });
  };
  let drawing = 0; // nor can one for each of the steps of a key that is held
  const redraw = () => {
    drawing ||= requestAnimationFrame(() => {
      drawing = 0;
      engine.drawScene();
    });
  };
  const tune = (volume) => {
    const high = Math.max(Math.abs(volume.global_min), Math.abs(volume.global_max)) || 1;
    const threshold = Number(part("threshold").value), tail = part("tail").value;
    const top = Math.max(high, threshold + 1e-6), none = 1e6 * top;
    const least = Math.max(threshold, 1e-9 * top);
    const positive = tail !== "negative", negative = tail !== "positive";
    volume.cal_min = positive ? least : none;
    volume.cal_max = positive ? top : 2 * none;
    volume.cal_minNeg = negative ? -least : -none;
    volume.cal_maxNeg = negative ? -top : -2 * none;
    volume.opacity = Number(part("opacity").value) / 100;
    const digits = high < 0.1 ? 4 : 2;
    part("key-low").textContent = minus(threshold, digits);
    part("key-high").textContent = minus(high, digits);
    part("key-low-negative").textContent = minus(-threshold, digits);
    part("key-high-negative").textContent = minus(-high, digits);
    const above = positive && volume.global_max >= least, below = negative && volume.global_min <= -least;
    for (const name of ["key-low", "key-positive", "key-high"]) part(name).hidden = !above;
    for (const name of ["key-low-negative", "key-negative", "key-high-negative"]) part(name).hidden = !below;
    part("key-none").hidden = above || below;
  };
  const apply = () => {
    if (!engine.volumes[1]) return;
    tune(engine.volumes[1]);
    engine.updateGLVolume();
    read();
  };

  const load = async (index) => {
    if (!loaded.has(index)) {
      loaded.set(index, await niivue.NVImage.loadFromBase64({
        base64: part(`map-${index}`).textContent.trim(), name: "map.nii.gz", colormap: "warmTail",
        colormapNegative: "coldTail", trustCalMinMax: false,
      }));
    }
    return loaded.get(index);
  };
  const show = async (index) => {
    if (!engine || !config.maps[index] || index === wanted) return;
    const map = config.maps[index];
    wanted = index;
    say(`Loading: ${map.title}`);
    let volume;
    try {
      volume = await load(index);
    } catch (error) {
      if (wanted === index) {
        wanted = current;
        part("map").value = String(current);
        say(`${map.title} cannot be shown: ${error.message}`);
      }
      return;
    }
    if (wanted !== index) return; // another map was chosen meanwhile
    current = index;
    part("map").value = String(index);
    const high = Math.max(Math.abs(volume.global_min), Math.abs(volume.global_max)) || 1;
    const step = 10 ** Math.floor(Math.log10(high / 100));
    for (const field of [part("threshold"), part("threshold-number")]) {
      // a map that does not reach its threshold begins with it too, and shows nothing
      field.max = String(Math.ceil(Math.max(high, map.threshold) / step) * step);
      field.step = String(step);
      field.value = String(map.threshold);
    }
    part("threshold-name").textContent = `Threshold (least |${map.quantity}|)`;
    part("tail").disabled = volume.global_min >= 0;
    if (volume.global_min >= 0) part("tail").value = "both";
    tune(volume);
    while (engine.volumes.length > 1) engine.removeVolume(engine.volumes[1]);
    engine.addVolume(volume);
    read();
    say("");
  };

  const views = {
    all: () => [engine.sliceTypeMultiplanar, 1], slices: () => [engine.sliceTypeMultiplanar, 0],
    axial: () => [engine.sliceTypeAxial, 0], coronal: () => [engine.sliceTypeCoronal, 0],
    sagittal: () => [engine.sliceTypeSagittal, 0], render: () => [engine.sliceTypeRender, 0],
  };
  const view = (name) => {
    const [type, render] = views[name]();
    engine.opts.multiplanarShowRender = render;
    part("stage").dataset.view = type === engine.sliceTypeMultiplanar ? "all" : "one";
    engine.setSliceType(type);
  };

  const marked = (xyz) => {
    for (const element of document.querySelectorAll("[data-xyz]")) {
      const other = (element.dataset.xyz || "").split(/[\s,]+/).map(Number);
      const same = xyz && other.length === 3 && other.every((mm, axis) => Math.abs(mm - xyz[axis]) < 0.5);
      if (same) element.setAttribute("aria-current", "location");
      else element.removeAttribute("aria-current");
    }
  };
  const moveTo = async (x, y, z) => {
    const xyz = [x, y, z].map(Number);
    if (!xyz.every(Number.isFinite)) return false;
    place = xyz.map((mm) => clamp(mm, -130, 130));
    await start();
    if (!engine) return false;
    engine.scene.crosshairPos = engine.mm2frac(place);
    redraw();
    read();
    marked(place);
    return true;
  };

  const open = async () => {
    if (!canvas.getContext("webgl2", { alpha: true, antialias: true })) throw new Error("no WebGL2");
    say("Loading the viewer");
    const script = document.createElement("script");
    script.textContent = await unpack("script").text();
    document.head.append(script); // allowed by its hash in the page's Content-Security-Policy
    if (typeof niivue === "undefined") throw new Error("the viewer's script did not run");
    const made = new niivue.Niivue({
      dragAndDropEnabled: false, logLevel: "error", show3Dcrosshair: true, isColorbar: false,
      scrollRequiresFocus: true, crosshairWidth: 0.7, crosshairWidthUnit: "mm", crosshairGap: 5, fontMinPx: 14, multiplanarPadPixels: 12,
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", isAlphaClipDark: true,
      loadingText: "", multiplanarShowRender: 1, tileMargin: 0,
    });
    await made.attachToCanvas(canvas, true);
    dress(made);
    made.addColormap("warmTail", ramp(config.warm));
    made.addColormap("coldTail", ramp(config.cold));
    made.addVolume(await niivue.NVImage.loadFromBase64({
      base64: part("template").textContent.trim(), name: "template.nii.gz", colormap: "anatomy", cal_min: 0, cal_max: 250,
    }));
    await Promise.all(config.atlases.map(async (atlas, index) => {
      atlas.grid = new Uint8Array(await unpack(`atlas-${index}`).arrayBuffer());
    }));
    engine = made;
    engine.onLocationChange = (data) => {
      place = Array.from(data.mm).slice(0, 3);
      marked(null);
      read();
    };
    dark.addEventListener("change", () => {
      dress(engine);
      engine.volumes[0].colormap = "anatomy";
      engine.updateGLVolume();
    });
    view(part("view").value);
    await show(Number(part("map").value));
    engine.scene.crosshairPos = engine.mm2frac(place);
    engine.drawScene();
    read();
  };
  const start = () => {
    ready ??= open().then(() => {
      stills.hidden = true;
    }).catch((error) => {
      live.hidden = true;
      stills.hidden = false;
      const note = part("fallback");
      note.textContent = `The interactive viewer cannot be shown here (${error.message}); these are still pictures.`;
      note.hidden = false;
      engine = null;
    });
    return ready;
  };

  part("map").addEventListener("change", (event) => show(Number(event.target.value)));
  part("view").addEventListener("change", (event) => engine && view(event.target.value));
  part("tail").addEventListener("change", () => engine && apply());
  part("opacity").addEventListener("input", () => engine && soon());
  part("threshold").addEventListener("input", (event) => {
    part("threshold-number").value = event.target.value;
    if (engine) soon();
  });
  part("threshold-number").addEventListener("input", (event) => {
    if (event.target.value === "" || !Number.isFinite(Number(event.target.value))) return;
    part("threshold").value = event.target.value;
    if (engine) soon();
  });
  part("reset").addEventListener("click", () => {
    if (!engine) return;
    const map = config.maps[current];
    part("threshold").value = part("threshold-number").value = String(map.threshold);
    part("tail").value = "both";
    part("opacity").value = "100";
    engine.scene.pan2Dxyzmm = [0, 0, 0, 1];
    engine.scene.renderAzimuth = 110;
    engine.scene.renderElevation = 10;
    apply();
    moveTo(...config.start);
  });
  for (const field of Object.values(fields)) {
    field.addEventListener("change", () => moveTo(fields.x.value, fields.y.value, fields.z.value));
  }
  const keys = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
    PageUp: [0, 0, 1], PageDown: [0, 0, -1] };
  canvas.addEventListener("keydown", (event) => {
    const step = keys[event.key];
    if (!step || !engine) {
      if (event.key.length === 1) event.stopImmediatePropagation(); // NiiVue's own letters
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    moveTo(...place.map((mm, axis) => mm + step[axis] * (event.shiftKey ? 10 : 2)));
  }, true);

  const go = (element) => {
    const xyz = (element.dataset.xyz || "").split(/[\s,]+/).map(Number);
    if (xyz.length !== 3) return;
    moveTo(...xyz).then((moved) => moved && root.scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" }));
  };
  document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-xyz]");
    if (element && !event.target.closest("a, summary")) go(element);
  });

  paintKey("key-positive", config.warm);
  paintKey("key-negative", [...config.cold]);
  window.viewer = { moveTo, show, start: () => start(), state: () => ({ map: current, place, open: engine !== null }) };
  live.hidden = false;
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(start));
  }, { rootMargin: "200px" }).observe(root);
})();
