"use strict";

// Sorting: each header becomes a button; a click sorts by its column, another turns it round.
function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent.trim();
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(table.tBodies[0], column, down ? -1 : 1);
    });
  });
}

// Rows without a rank come last, whichever way the others go.
function sortBy(body, column, way) {
  const rows = [...body.rows].map((row) => [row.cells[column].dataset.rank, row]);
  rows.sort(([one], [other]) => {
    if (one === undefined || other === undefined) {
      return (one === undefined) - (other === undefined);
    }
    return way * compare(one, other);
  });
  body.append(...rows.map(([, row]) => row));
}

function compare(one, other) {
  const [a, b] = [Number(one), Number(other)];
  return Number.isNaN(a) || Number.isNaN(b) ? one.localeCompare(other) : a - b;
}

// Filtering: a row is shown where it has every word that was typed.
function makeFilter(table, input, shown) {
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) =>
    [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase()
  );
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every((word) => texts[place].includes(word));
      count += row.hidden ? 0 : 1;
    });
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  input.addEventListener("input", apply);
  input.closest("[hidden]").hidden = false;
  apply();
}

// What scrolls sideways can be reached, and scrolled, by keyboard.
function makeScrollable() {
  for (const box of document.querySelectorAll(".scroll")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    box.toggleAttribute("tabindex", scrolls);
    if (scrolls) {
      box.tabIndex = 0;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", box.dataset.name);
    } else {
      box.removeAttribute("role");
      box.removeAttribute("aria-label");
    }
  }
}

// Each chart is drawn over the picture that stands in its place, as wide as there is room.
async function drawCharts(embed) {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const spec = specs[place.dataset.chart];
    spec.width = "container";
    spec.autosize = { type: "fit-x", contains: "padding" };
    if (place.clientWidth < 440) spec.config.legend.columns = 2;
    await embed(place, spec, { renderer: "svg", actions: false });
    place.dataset.drawn = "";
  }
  makeScrollable();
}

{
  const table = document.getElementById("cells");
  makeSortable(table);
  makeFilter(table, document.getElementById("filter"), document.getElementById("shown"));
  makeScrollable();
  addEventListener("resize", makeScrollable);
}
