// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { csvCell, VirtualTable } from './table.ts';

interface Row {
  name: string;
  size: number;
}

function table(count: number): { table: VirtualTable<Row>; opened: string[]; scroller: HTMLElement } {
  const opened: string[] = [];
  const rows = Array.from({ length: count }, (_, index): Row => ({ name: `row ${index}`, size: (index * 7919) % count }));
  const own = new VirtualTable<Row>({
    name: 'things', rows: () => rows, empty: 'nothing', open: (row) => opened.push(row.name),
    columns: [
      { name: 'Name', width: 10, text: (row) => row.name },
      { name: 'Size', width: 10, numeric: true, text: (row) => `${row.size},0`, value: (row) => row.size },
    ],
  });
  document.body.append(own.element);
  const scroller = own.element.querySelector<HTMLElement>('[role=grid]')!;
  Object.defineProperty(scroller, 'clientHeight', { value: 240 });
  own.refresh();
  return { table: own, opened, scroller };
}

const names = (scroller: HTMLElement): (string | null)[] =>
  [...scroller.querySelectorAll<HTMLElement>('.t-body .t-row')].filter((line) => !line.hidden).map((line) => line.firstElementChild!.textContent);
const press = (scroller: HTMLElement, key: string): boolean => scroller.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));

describe('table', () => {
  beforeEach(() => document.body.replaceChildren());

  it('holds as many lines as fit, however many rows there are', () => {
    const { scroller } = table(5000);
    expect(scroller.querySelectorAll('.t-body .t-row').length).toBeLessThan(40);
    expect(scroller.getAttribute('aria-rowcount')).toBe('5000');
    expect(names(scroller)[0]).toBe('row 0');
  });

  it('draws the rows that are scrolled to', () => {
    const { scroller } = table(5000);
    scroller.scrollTop = 24 * 1000;
    scroller.dispatchEvent(new Event('scroll'));
    expect(names(scroller)).toContain('row 1000');
    expect(names(scroller)).not.toContain('row 0');
  });

  it('makes room for what it shows, and no more than twice what was asked for', () => {
    const widths = (text: string): number[] => {
      const own = new VirtualTable<string>({ name: 'x', empty: '', rows: () => [text], columns: [{ name: 'Kind', width: 10, text: String }, { name: 'Rest', width: 5, text: () => '' }] });
      document.body.append(own.element);
      Object.defineProperty(own.element.querySelector('[role=grid]')!, 'clientHeight', { value: 240 });
      own.refresh();
      return own.element.style.getPropertyValue('--columns').match(/\d+(?=px)/g)!.map(Number);
    };
    const [usual] = widths('short');
    expect(usual).toBe(69 + 14);
    expect(widths('entry submitted')[0]).toBe(Math.round(15 * 6.9) + 14);
    expect(widths('XRPUSDT-PERP')[0]).toBe(Math.round(16 * 6.9) + 14);
    expect(widths('x'.repeat(500))[0]).toBe(Math.round(20 * 6.9) + 14);
  });

  it('opens a row at the second tap of a finger, and is ordered by the keyboard', () => {
    const { scroller, opened } = table(10);
    const line = scroller.querySelector<HTMLElement>('.t-body .t-row')!;
    for (let tap = 0; tap < 2; tap += 1) line.dispatchEvent(new PointerEvent('click', { pointerType: 'touch', bubbles: true }));
    expect(opened).toEqual(['row 0']);
    const head = scroller.querySelectorAll<HTMLElement>('.t-head')[1]!;
    head.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
    expect(head.getAttribute('aria-sort')).toBe('descending');
    expect(opened).toEqual(['row 0']);
  });

  it('shows what matches every word of the filter, and says if nothing does', () => {
    const { table: own, scroller } = table(100);
    own.setFilter('ROW 42');
    expect(names(scroller)).toContain('row 42');
    expect(own.count).toBeLessThan(5);
    own.setFilter('absent');
    expect([own.count, scroller.querySelector('.t-empty')!.textContent]).toEqual([0, 'nothing matches the filter']);
  });

  it('orders by a column: numbers from the largest, text from the first, and back', () => {
    const { scroller } = table(100);
    const [name, size] = scroller.querySelectorAll<HTMLElement>('[role=columnheader]');
    const sizes = (): string[] => [...scroller.querySelectorAll('.t-body .t-row')].map((line) => line.children[1]!.textContent!);
    size!.click();
    expect([sizes()[0], size!.getAttribute('aria-sort')]).toEqual(['99,0', 'descending']);
    size!.click();
    expect(sizes()[0]).toBe('0,0');
    name!.click();
    expect(names(scroller).slice(0, 3)).toEqual(['row 0', 'row 1', 'row 10']);
  });

  it('is walked through with the keyboard and opens a row with Enter', () => {
    const { scroller, opened } = table(100);
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowUp', 'Enter', 'End', 'Enter', 'Home', 'Enter']) press(scroller, key);
    expect(opened).toEqual(['row 1', 'row 99', 'row 0']);
  });

  it('gives all filtered rows as CSV, quoted where needed', async () => {
    const { table: own } = table(3);
    const blobs: Blob[] = [];
    vi.spyOn(URL, 'createObjectURL').mockImplementation((blob) => (blobs.push(blob as Blob), 'blob:x'));
    own.csv();
    expect(await blobs[0]!.text()).toBe('Name,Size\nrow 0,"0,0"\nrow 1,"2,0"\nrow 2,"1,0"\n');
  });
});

describe('a cell of a CSV file', () => {
  it.each([
    ['=HYPERLINK("x")', `"'=HYPERLINK(""x"")"`], ['@SUM(1)', "'@SUM(1)"], ['-2+3', "'-2+3"], ['+cmd', "'+cmd"], ['−not a number', "'−not a number"],
    ['▼ −12.00', '-12.00'], ['▲ +1,234.5', '+1234.5'], ['−3', '-3'], ['12,000.5', '12000.5'], ['a,b', '"a,b"'], ['plain', 'plain'],
  ])('%s is written as %s', (text, written) => expect(csvCell(text)).toBe(written));
});

describe('button in a row', () => {
  let rows: { name: string }[];
  let acted: string[];
  let opened: string[];
  let own: VirtualTable<{ name: string }>;
  let scroller: HTMLElement;
  const buttons = (): HTMLElement[] => [...scroller.querySelectorAll<HTMLElement>('.t-body button')];
  /** Each message makes new objects. */
  const show = (...now: string[]): void => {
    rows = now.map((name) => ({ name }));
    own.refresh();
  };
  const click = (button: HTMLElement, detail: number): boolean => button.dispatchEvent(new MouseEvent('click', { bubbles: true, detail }));

  beforeEach(() => {
    [rows, acted, opened] = [[], [], []];
    own = new VirtualTable<{ name: string }>({
      name: 'rows', rows: () => [...rows], empty: '', id: (row) => row.name, open: (row) => opened.push(row.name),
      columns: [{ name: '', width: 5, text: () => '', action: { label: () => 'Close', run: (row) => acted.push(row.name), obstacle: () => null, key: 'c' } }],
    });
    document.body.replaceChildren(own.element);
    scroller = own.element.querySelector<HTMLElement>('[role=grid]')!;
    Object.defineProperty(scroller, 'clientHeight', { value: 240 });
    show('first', 'second');
  });

  it('acts on the row it was pressed on, though rows moved before it was released', () => {
    const [button] = buttons();
    button!.dispatchEvent(new Event('pointerdown'));
    show('second', 'first');
    click(button!, 1);
    expect(acted).toEqual(['first']);
  });

  it('acts on the row it shows when the keyboard clicks it, whatever was pressed before and let go elsewhere', () => {
    const [button] = buttons();
    button!.dispatchEvent(new Event('pointerdown'));
    show('second', 'first');
    click(button!, 0);
    expect(acted).toEqual(['second']);
  });

  it('has Enter for itself: the row that is selected is not opened', () => {
    press(scroller, 'ArrowDown');
    expect(press(buttons()[1]!, 'Enter')).toBe(true);
    expect(opened).toEqual([]);
  });

  it('keeps the focus with its row, and gives it to the table when that is gone', () => {
    buttons()[0]!.focus();
    show('new', 'first', 'second');
    expect(buttons().indexOf(document.activeElement as HTMLElement)).toBe(1);
    show('new', 'second');
    expect(document.activeElement).toBe(scroller);
  });

  it('is pressed by its key for the row that is selected, which stays so when rows move', () => {
    expect(press(scroller, 'c')).toBe(false);
    press(scroller, 'ArrowDown');
    show('new', 'first', 'second');
    press(scroller, 'C');
    expect(acted).toEqual(['first']);
    show('new', 'second');
    press(scroller, 'c');
    press(buttons()[0]!, 'c');
    expect(acted).toEqual(['first']);
  });
});
