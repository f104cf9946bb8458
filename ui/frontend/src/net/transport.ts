/** How frames come and requests go; the fixture of `dev/` is another implementation of the same. */
import { Manager, type Socket } from 'socket.io-client';
import { PROTOCOL, type Frame } from './protocol.ts';

/** What was asked never left this page: every other failure leaves open what became of it. */
export class NotSent extends Error {}

export interface TransportEvents {
  frame(frame: Frame): void;
  /** The connection is gone, or was refused for a reason: auth, host, origin, proto, full. */
  lost(reason: string | null): void;
}

export interface Transport {
  open(events: TransportEvents): void;
  /** Send an event that nobody answers. */
  send(event: string, data?: unknown): void;
  /** Send an event and wait for its answer; rejects after `timeoutMs`, and with `NotSent` where nothing left. */
  ask<T>(event: string, data: unknown, timeoutMs: number): Promise<T>;
}

export class SocketTransport implements Transport {
  private socket: Socket | null = null;
  private readonly auth: () => Promise<Record<string, unknown>>;

  /** `auth` is asked at each connection: the CSRF value changes with the session. */
  constructor(auth: () => Promise<Record<string, unknown>>) {
    this.auth = auth;
  }

  open(events: TransportEvents): void {
    const manager = new Manager(location.origin, { transports: ['websocket'], reconnectionDelay: 250, reconnectionDelayMax: 3000 });
    const socket = manager.socket('/', {
      // Where the session cannot be read the socket is tried again, not refused: the server may be starting.
      auth: (send) => void this.auth().then((auth) => send({ ...auth, proto: PROTOCOL }), () => again(1000)),
    });
    const again = (ms: number): void => {
      socket.disconnect();
      setTimeout(() => socket.connect(), ms);
    };
    this.socket = socket;
    socket.on('f', (frame: Frame, acknowledge: () => void) => {
      // A view that fails must not cost the connection: who acknowledges nothing is disconnected.
      try {
        events.frame(frame);
      } finally {
        acknowledge();
      }
    });
    socket.on('disconnect', (reason) => {
      events.lost(null);
      if (reason === 'io server disconnect') setTimeout(() => socket.connect(), 1000);
    });
    socket.on('connect_error', (error) => {
      events.lost(socket.active ? null : error.message);
      // A refusal by the server ends the client's own attempts.
      if (!socket.active && error.message !== 'auth' && error.message !== 'proto') again(3000);
    });
  }

  send(event: string, data?: unknown): void {
    if (data === undefined) this.socket?.emit(event);
    else this.socket?.emit(event, data);
  }

  async ask<T>(event: string, data: unknown, timeoutMs: number): Promise<T> {
    if (!this.socket?.connected) throw new NotSent('not connected');
    return (await this.socket.timeout(timeoutMs).emitWithAck(event, data)) as T;
  }
}
