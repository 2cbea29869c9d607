// Shows, for every run, the newest sample grid that is not newer than the slider says.
const slider = document.getElementById("kimg"), told = document.getElementById("told");
const times = JSON.parse(slider.dataset.times);
function show() {
  const at = times[slider.value];
  told.textContent = at + " kimg";
  for (const run of document.querySelectorAll(".run")) {
    let chosen = null;
    for (const image of run.querySelectorAll("img[data-kimg]")) {
      image.hidden = true;
      if (chosen === null || Number(image.dataset.kimg) <= at) chosen = image;
    }
    if (chosen) {
      chosen.hidden = false;
      run.querySelector("small").textContent = chosen.dataset.kimg + " kimg";
    }
  }
}
slider.addEventListener("input", show);
show();
