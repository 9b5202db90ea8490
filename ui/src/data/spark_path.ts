/** The path of a line through `values` from left to right, the largest one at the top; empty for fewer than two. */
export function pathOf(values: readonly number[], width: number, height: number): string {
  const top = Math.max(...values, 0);
  if (values.length < 2) return '';
  const step = width / (values.length - 1);
  // A pixel at both edges, so that the line is not cut.
  const y = (value: number) => 1 + (height - 2) * (top > 0 ? 1 - value / top : 1);
  return values
    .map((value, index) => `${index ? 'L' : 'M'}${(index * step).toFixed(1)} ${y(value).toFixed(1)}`)
    .join('');
}
