"use strict";
(() => {
  const root = document.documentElement;
  const report = JSON.parse(document.getElementById("data").textContent);
  const toggle = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  /** The figures that are drawn so far, and those that are begun. */
  const drawn = [];
  const begun = new Set();

  // The theme: that of the address (`#dark`, `?theme=light`), else that of the system; the button switches.
  const asked = (location.hash + location.search).match(/\b(dark|light)\b/);
  if (asked) root.dataset.theme = asked[1];
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  function colors(dark) {
    const ink = dark ? "#c3cad2" : "#3b444d";
    const grid = dark ? "#2b323b" : "#e6e9ed";
    const layout = {
      "font.color": ink,
      "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": dark ? "#232a32" : "#ffffff",
      "hoverlabel.bordercolor": dark ? "#434c57" : "#c5ccd4",
      "hoverlabel.font.color": dark ? "#e4e8ec" : "#1c2128",
    };
    for (const axis of ["xaxis", "yaxis", "yaxis2", "yaxis3"]) {
      layout[axis + ".gridcolor"] = grid;
      layout[axis + ".linecolor"] = grid;
    }
    return layout;
  }

  /** Dotted keys that belong to axes this figure does not have would make Plotly add them. */
  function colorsFor(plot, dark) {
    const wanted = Object.entries(colors(dark));
    return Object.fromEntries(wanted.filter(([key]) => plot.layout[key.split(".")[0]] || !/^yaxis\d/.test(key)));
  }

  function narrow(plot, width) {
    const small = width < 520;
    return { "font.size": small ? 11 : 12.5, "margin.l": small ? 44 : 56, "margin.r": small ? 6 : 12 };
  }

  function dress(id, dark) {
    const { plot } = report.figures[id];
    const element = document.getElementById("plot-" + id);
    return Plotly.relayout(element, { ...colorsFor(plot, dark), ...narrow(plot, element.clientWidth) });
  }

  function apply(dark) {
    toggle.textContent = dark ? "Light" : "Dark";
    for (const id of drawn) dress(id, dark);
  }

  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    apply(isDark());
  });
  system.addEventListener("change", () => apply(isDark()));
  const printed = [...document.querySelectorAll("details.print")];
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = printed.filter((details) => !details.open);
    for (const details of folded) details.open = true;
    apply(false);
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    apply(isDark());
  });

  async function unpack(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function draw() {
    apply(isDark());
    const script = document.createElement("script");
    script.textContent = await unpack("plotly");
    document.head.append(script);
    await drawAll((element) => !element.closest("details:not([open])"));
    for (const details of document.querySelectorAll("details")) {
      details.addEventListener("toggle", () => { if (details.open) drawAll((element) => details.contains(element)); });
    }
    root.dataset.ready = "";
  }

  /** Draws what is wanted and is not drawn yet; a figure in something folded waits until it is opened. */
  async function drawAll(wanted) {
    for (const [id, figure] of Object.entries(report.figures)) {
      const element = document.getElementById("plot-" + id);
      if (begun.has(id) || !wanted(element)) continue;
      begun.add(id);
      await Plotly.newPlot(element, figure.plot.data, figure.plot.layout, figure.plot.config);
      drawn.push(id);
      await dress(id, isDark());
      // Between two figures of a long page the reader may scroll.
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  draw().catch((error) => {
    for (const element of document.querySelectorAll(".plot")) {
      element.className = "empty";
      element.textContent = "This browser cannot draw the figure (" + error.message + "). The numbers are behind the buttons.";
    }
  });

  /** The columns of a figure's table and its rows that hold a number of it, not just its place. */
  function numbers(id) {
    const figure = report.figures[id];
    const table = report.tables[figure.table];
    const columns = (figure.columns.length ? figure.columns : Object.keys(table)).filter((name) => table[name]);
    const places = new Set(["step", "epoch"]);
    const rows = [];
    for (let row = 0; row < (table[columns[0]] ?? []).length; row++) {
      const values = columns.map((name) => table[name][row]);
      if (values.some((value, index) => value !== null && !places.has(columns[index]))) rows.push(values);
    }
    return { columns, rows };
  }

  function csv({ columns, rows }) {
    const cell = (value) => {
      const text = value === null ? "" : String(value);
      return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  function flash(button, text) {
    const label = button.dataset.label || (button.dataset.label = button.textContent);
    button.textContent = text;
    setTimeout(() => { button.textContent = label; }, 1500);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // A page opened from a file may not have the clipboard; a selected text area still has.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      if (!copied) throw new Error("no clipboard");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.csv) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(numbers(button.dataset.csv))], { type: "text/csv" }));
      link.download = report.name + "-" + button.dataset.csv + ".csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } else if (button?.dataset.json) {
      const { columns, rows } = numbers(button.dataset.json);
      const table = Object.fromEntries(columns.map((name, index) => [name, rows.map((row) => row[index])]));
      copy(JSON.stringify(table)).then(() => flash(button, "Copied"), () => flash(button, "Not copied"));
    }
  });
})();
