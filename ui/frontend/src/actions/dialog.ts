/** Dialogs: the safe button has the focus, Escape is the safe button, what will happen is spelled out. */
import { h } from '../lib/dom.ts';

export interface Question {
  title: string;
  /** What will happen, one line each. */
  effects: string[];
  confirm: string;
  danger: boolean;
  /** Type this to confirm. */
  word?: string;
  /** It was asked before, and is now about something else: to be read before it can be confirmed. */
  again?: boolean;
  /** What was typed for the former question of the same. */
  typed?: string;
}

/** A question that takes the place of another one lies under the same finger: a double click must not answer both. */
const SETTLE_MS = 700;

/** Ask; resolves to true once confirmed, to false on Back, Escape, or a click outside. */
export function ask(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    const confirm = h<HTMLButtonElement>(`button.btn.${question.danger ? 'danger' : 'primary'}`, { type: 'submit' }, question.confirm);
    const back = h<HTMLButtonElement>('button.btn', { onclick: () => done(false) }, 'Back');
    const input = h<HTMLInputElement>('input.field', { 'aria-label': `type ${question.word} to confirm`, autocomplete: 'off', spellcheck: 'false' });
    input.value = question.typed ?? '';
    const typed = question.word
      ? h('label.typed', {}, h('span', {}, 'Type ', h('code', {}, question.word), ' to confirm'), input)
      : null;
    const form = h<HTMLFormElement>(
      'form', {}, h('h2', {}, question.title), h('ul.effects', {}, ...question.effects.map((line) => h('li', {}, line))), typed,
      h('div.dialog-buttons', {}, back, confirm),
    );
    const dialog = modal(form, question.danger ? 'dialog.danger-dialog' : 'dialog', () => done(false));
    let isRead = !question.again;
    const check = (): void => {
      confirm.disabled = !isRead || (Boolean(question.word) && input.value !== question.word);
    };
    if (!isRead) {
      setTimeout(() => {
        isRead = true;
        check();
      }, SETTLE_MS);
    }
    let answered = false;
    const done = (answer: boolean): void => {
      if (answered) return;
      answered = true;
      dialog.close();
      resolve(answer);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      check();
      if (!confirm.disabled) done(true);
    });
    input.addEventListener('input', check);
    check();
    back.focus();
  });
}

/** Show a modal dialog; it removes itself when it is closed by Escape, by a click outside, or by `close()`. */
export function modal(content: HTMLElement, tag = 'dialog', onClose: () => void = () => undefined): HTMLDialogElement {
  const dialog = h<HTMLDialogElement>(tag, {}, content);
  const title = content.querySelector('h2');
  if (title) dialog.setAttribute('aria-label', title.textContent ?? '');
  dialog.addEventListener('close', () => {
    dialog.remove();
    onClose();
  });
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
