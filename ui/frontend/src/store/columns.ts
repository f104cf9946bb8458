/** Growing columns of numbers: one Float64Array per field, so that a painter reads without objects. */

const FIRST_CAPACITY = 1024;

export const BUCKET_FIELDS = [
  'i', 't0', 't1', 'o', 'h', 'l', 'c', 'v', 'bv', 'sv', 'n', 'imb', 'vpin', 'vol', 'p', 'dir', 'tainted',
] as const;
export const BAR_FIELDS = ['i', 't0', 't1', 'o', 'h', 'l', 'c', 'v', 'score_long', 'score_short'] as const;

export type BucketField = (typeof BUCKET_FIELDS)[number];
export type BarField = (typeof BAR_FIELDS)[number];
type Value = number | boolean | null | undefined;

/** Missing numbers are NaN inside columns. */
const toNumber = (value: Value): number => (value === null || value === undefined ? NaN : Number(value));

export class Columns<F extends string = string> {
  readonly fields: readonly F[];
  private arrays: Record<F, Float64Array>;
  private capacity = FIRST_CAPACITY;
  private rows = 0;
  /** How many rows were put in front or dropped there: key of a row = row + origin, and keys never move. */
  private first = 0;

  constructor(fields: readonly F[]) {
    this.fields = fields;
    this.arrays = this.allocate(this.capacity);
  }

  get length(): number {
    return this.rows;
  }

  get origin(): number {
    return this.first;
  }

  /** The array of a field; read it anew after each change, it moves when it grows. */
  column(field: F): Float64Array {
    return this.arrays[field];
  }

  at(field: F, row: number): number {
    return row >= 0 && row < this.rows ? this.arrays[field][row]! : NaN;
  }

  push(record: Partial<Record<F, Value>>): void {
    if (this.rows === this.capacity) this.grow(this.capacity * 2, 0);
    this.rows += 1;
    this.set(this.rows - 1, record);
  }

  set(row: number, record: Partial<Record<F, Value>>): void {
    for (const field of this.fields) this.arrays[field][row] = toNumber(record[field]);
  }

  /** Put `count` rows of a columnar answer, beginning at `from`, in front. */
  prepend(columns: Partial<Record<F, ArrayLike<Value>>>, from: number, count: number): void {
    if (count <= 0) return;
    this.grow(Math.max(this.capacity, this.rows + count + FIRST_CAPACITY), count);
    for (const field of this.fields) {
      const source = columns[field];
      const target = this.arrays[field];
      for (let row = 0; row < count; row += 1) target[row] = toNumber(source?.[from + row]);
    }
    this.rows += count;
    this.first -= count;
  }

  /** Drop the oldest rows. */
  dropFront(count: number): void {
    for (const field of this.fields) this.arrays[field].copyWithin(0, count, this.rows);
    this.rows -= count;
    this.first += count;
  }

  /** Drop all rows from one on. */
  truncate(rows: number): void {
    this.rows = Math.min(this.rows, rows);
  }

  /** First row whose value of an ascending field is at least `value`; the length if there is none. */
  lowerBound(field: F, value: number): number {
    const array = this.arrays[field];
    let low = 0;
    let high = this.rows;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (array[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private allocate(capacity: number): Record<F, Float64Array> {
    const arrays = {} as Record<F, Float64Array>;
    for (const field of this.fields) arrays[field] = new Float64Array(capacity);
    return arrays;
  }

  private grow(capacity: number, offset: number): void {
    const old = this.arrays;
    this.arrays = this.allocate(capacity);
    this.capacity = capacity;
    for (const field of this.fields) this.arrays[field].set(old[field].subarray(0, this.rows), offset);
  }
}
