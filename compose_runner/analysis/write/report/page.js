"use strict";
// The report's page: sort and search tables, copy texts, save what the page holds, move the viewer. It asks nobody.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const announcement = document.querySelector("[data-announcement]");
  const announce = (text) => {
    announcement.textContent = text;
    clearTimeout(announce.timer);
    announce.timer = setTimeout(() => { announcement.textContent = ""; }, 4000);
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // a page without an origin may not; a selection can still be copied
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "hidden";
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  };
  const textOf = (element) => element.matches("ul")
    ? all("li", element).map((item) => item.textContent.trim()).join("\n")
    : all("li, p", element).map((item) => item.textContent.trim()).join("\n") || element.textContent.trim();
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const done = await copy(textOf(document.getElementById(button.dataset.copy)));
      announce(done ? "Copied" : "This browser does not let the page copy: select the text");
    });
  }

  const bytesOf = (base64) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  };
  const contentOf = (source) => {
    if (source.startsWith("picture:")) {
      const picture = all("img[data-picture]").find((one) => one.dataset.picture === source.slice(8));
      return picture.src.slice(picture.src.indexOf(",") + 1);
    }
    const part = document.querySelector(`script[data-part="${source}"], script[data-file="${source}"]`);
    return part.textContent.trim();
  };
  for (const button of all("[data-save]")) {
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([bytesOf(contentOf(button.dataset.save))], { type: "application/octet-stream" }));
      link.download = button.dataset.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      announce(`Saved ${button.dataset.name}`);
    });
  }

  const valueOf = (cell) => {
    const text = cell.dataset.sort ?? cell.textContent.trim();
    const value = Number.parseFloat(text.replace(/,/g, "").replace("\u2212", "-"));
    return Number.isNaN(value) ? null : value;
  };
  for (const table of all("table[data-sortable]")) {
    const headings = all("thead th", table);
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        const body = table.tBodies[0], numeric = heading.classList.contains("n");
        const rows = all("tr", body).map((row) => ({ row, cell: row.cells[column] }));
        const order = (a, b) => {
          const [x, y] = [valueOf(a), valueOf(b)];
          if (numeric || a.dataset.sort !== undefined) return (x ?? -Infinity) - (y ?? -Infinity);
          return a.textContent.trim().localeCompare(b.textContent.trim(), undefined, { numeric: true });
        };
        rows.sort((a, b) => (down ? order(b.cell, a.cell) : order(a.cell, b.cell)));
        body.append(...rows.map(({ row }) => row));
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      });
    });
  }

  for (const field of all("[data-filters]")) {
    field.closest("[data-filter]").hidden = false;
    const rows = all("tbody tr", document.getElementById(field.dataset.filters));
    const said = field.parentElement.querySelector("[data-filtered]");
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLocaleLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLocaleLowerCase().includes(wanted);
      said.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
  }

  const viewer = document.querySelector(".viewer");
  for (const button of all("[data-map]")) {
    button.addEventListener("click", async () => {
      await window.viewer?.start();
      await window.viewer?.show(Number(button.dataset.map));
      viewer.scrollIntoView({ block: "nearest" });
    });
  }
  // a peak belongs to a map; the viewer itself moves the cross-hair
  for (const button of all("[data-xyz][data-of]")) {
    button.addEventListener("click", async () => {
      await window.viewer?.start();
      await window.viewer?.show(Number(button.dataset.of));
    });
  }

  // paper shows what is folded on a screen, but for the sources of the texts
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open]):not(.source)", document.getElementById("main")).filter((one) => !one.closest(".viewer, .studies"));
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();
