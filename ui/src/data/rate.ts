/** How fast a counter grows: from the values the hub told and the moments they came, over the last seconds. */

const WINDOW_MS = 10_000;
/** A rate over less is noise. */
const SPAN_MIN_MS = 900;
/** An answer that was on its way while the feed told more is at most so old. */
const LATE_MS = 3000;

export class Rate {
  private samples: { at: number; value: number }[] = [];

  /** `at` in milliseconds of a clock that never goes back. */
  add(at: number, value: number): void {
    const last = this.samples.at(-1);
    if (last && value < last.value) {
      if (at - last.at < LATE_MS) return;
      // The counter began anew, as after a resume of another hub process.
      this.samples = [];
    }
    this.samples.push({ at, value });
    while (this.samples.length > 2 && at - (this.samples[1]?.at ?? at) >= WINDOW_MS) this.samples.shift();
  }

  /** Per second; undefined while too little is known. */
  get perSecond(): number | undefined {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || last.at - first.at < SPAN_MIN_MS) return undefined;
    return ((last.value - first.value) * 1000) / (last.at - first.at);
  }
}
