// In the confusion matrix a click chooses a cell, and the arrow keys move to the next button.
element.addEventListener('click', (event) => {
  const cell = event.target.closest('button[data-true]');
  if (!cell) return;
  const classes = [Number(cell.dataset.true), Number(cell.dataset.predicted)];
  trigger('select', {index: classes, value: classes});
});
const steps = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
element.addEventListener('keydown', (event) => {
  const cell = event.target.closest('button[data-true]');
  if (!cell || !(event.key in steps)) return;
  event.preventDefault();
  const [down, right] = steps[event.key];
  let [row, column] = [Number(cell.dataset.true), Number(cell.dataset.predicted)];
  for (let passed = 0; passed < 100; passed++) {
    [row, column] = [row + down, column + right];
    const next = element.querySelector(`button[data-true="${row}"][data-predicted="${column}"]`);
    if (next) return next.focus();
  }
});
