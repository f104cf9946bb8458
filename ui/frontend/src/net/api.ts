/** The REST API of the server, same origin. */
import type { Role } from './protocol.ts';

export interface Session {
  user: string;
  role: Role;
  csrf: string | null;
  mode: string | null;
}

/** An answer that is not 2xx; `field` is the part of the request that is wrong, where the server knows. */
export class ApiError extends Error {
  readonly status: number;
  readonly field: string | null;

  constructor(status: number, message: string, field: string | null = null) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

export class Api {
  session: Session | null = null;
  /** The server's clock by the last answer, and this page's own then; that of the machine here may be wrong. */
  private told: { server: number; here: number } | null = null;
  private readonly fetch: typeof globalThis.fetch;

  constructor(fetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, init)) {
    this.fetch = fetch;
  }

  /** UNIX milliseconds by the server's clock, to a second; by this machine's before its first answer. */
  now(): number {
    return this.told ? this.told.server + performance.now() - this.told.here : Date.now();
  }

  async loadSession(): Promise<Session> {
    this.session = await this.get<Session>('/api/v1/session');
    return this.session;
  }

  get<T>(path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
    const search = new URLSearchParams(given.map(([key, value]) => [key, String(value)]));
    return this.request<T>('GET', given.length ? `${path}${path.includes('?') ? '&' : '?'}${search}` : path);
  }

  post<T>(path: string, body: unknown = {}): Promise<T> {
    return this.request<T>('POST', path, body);
  }

  remove<T>(path: string): Promise<T> {
    return this.request<T>('DELETE', path);
  }

  private async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (method !== 'GET') headers['X-CSRF-Token'] = this.session?.csrf ?? '';
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const init: RequestInit = { method, headers, credentials: 'same-origin' };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await this.fetch(path, init);
    const date = Date.parse(response.headers.get('Date') ?? '');
    if (Number.isFinite(date)) this.told = { server: date, here: performance.now() };
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw problem(response, answer);
    return answer as T;
  }
}

/** The server says `{"error": {"code", "message", "field"}}`. */
function problem(response: Response, answer: unknown): ApiError {
  const { error } = (answer ?? {}) as { error?: { message?: string; field?: string } };
  return new ApiError(response.status, error?.message ?? `${response.status} ${response.statusText}`, error?.field ?? null);
}
