"use strict";
const root = document.documentElement;
const phone = matchMedia("(max-width:600px)");

// Figures name colours as "$up": what that is depends on the page being light or dark now.
function coloured(value, style) {
  if (typeof value === "string" && value.startsWith("$")) return style.getPropertyValue("--" + value.slice(1)).trim();
  if (Array.isArray(value)) return value.map((one) => coloured(one, style));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, style)]));
  return value;
}

const plots = [...document.querySelectorAll(".plot")].map((place) => ({
  place,
  figure: JSON.parse(place.querySelector("script").textContent),
}));

function draw() {
  const style = getComputedStyle(root);
  const axis = { gridcolor: "$line", linecolor: "$line", zerolinecolor: "$muted", automargin: true };
  for (const { place, figure } of plots) {
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: "$muted" },
      margin: { l: 56, r: 12, t: 24, b: 40 },
      showlegend: false,
      legend: { orientation: "h", y: 1.12 },
      hoverlabel: { bgcolor: "$card", bordercolor: "$line", font: { color: "$ink" } },
      dragmode: phone.matches ? false : "zoom",
      ...figure.layout,
    };
    for (const name of ["xaxis", "yaxis", "yaxis2"])
      if (name !== "yaxis2" || layout.yaxis2) layout[name] = { ...axis, ...layout[name] };
    const shown = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
    Plotly.react(place, coloured(figure.data, style), coloured(layout, style), shown);
  }
}
for (const { place } of plots) place.replaceChildren();
draw();
matchMedia("(prefers-color-scheme:dark)").addEventListener("change", draw);
addEventListener("beforeprint", draw);

document.getElementById("theme").onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
};
for (const button of document.querySelectorAll("[data-show]")) {
  button.onclick = () => {
    for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", other === button);
    for (const trade of document.querySelectorAll(".trade"))
      trade.hidden = button.dataset.show !== "all" && trade.dataset.result !== button.dataset.show;
  };
}
