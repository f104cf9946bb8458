/** Entry of the terminal: session, then shell, then the socket. */
import { start } from './shell.ts';
import { Api, ApiError } from './net/api.ts';
import { SocketTransport } from './net/transport.ts';

const api = new Api();

async function main(): Promise<void> {
  try {
    await api.loadSession();
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) location.assign('/login');
    else document.body.textContent = `The terminal's server does not answer: ${String(error)}. Reload to try again.`;
    return;
  }
  const shell = start(api, (ins) => new SocketTransport(async () => {
    // The CSRF value is that of the session: after a new login it is another one.
    const { csrf } = await api.loadSession();
    return { csrf, ins: ins() };
  }));
  document.body.append(shell.element);
  shell.connect();
}

void main();
