"use strict";
const root = document.documentElement;
document.getElementById("theme").onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
};
for (const button of document.querySelectorAll("[data-show]")) {
  button.onclick = () => {
    for (const other of document.querySelectorAll("[data-show]")) other.setAttribute("aria-pressed", other === button);
    for (const trade of document.querySelectorAll(".trade"))
      trade.hidden = button.dataset.show !== "all" && trade.dataset.result !== button.dataset.show;
  };
}
