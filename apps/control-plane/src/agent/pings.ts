/** Turns of one period: ten thousand pings at once would keep everything else waiting for a tenth of a second. */
const TURNS = 50

/** Pings each socket once in a period, some at a time. */
export class Pings<Socket extends { ping(): void }> {
  readonly #periodMs: number
  readonly #turns: Set<Socket>[] = Array.from({ length: TURNS }, () => new Set())
  readonly #turnOf = new Map<Socket, Set<Socket>>()
  #next = 0
  #at = 0
  #timer: NodeJS.Timeout | undefined

  constructor(periodMs: number) {
    this.#periodMs = periodMs
  }

  start(): void {
    this.#timer = setInterval(() => this.turn(), this.#periodMs / TURNS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  add(socket: Socket): void {
    const turn = this.#turns[this.#next] as Set<Socket>
    this.#next = (this.#next + 1) % TURNS
    this.#turnOf.set(socket, turn.add(socket))
  }

  remove(socket: Socket): void {
    this.#turnOf.get(socket)?.delete(socket)
    this.#turnOf.delete(socket)
  }

  turn(): void {
    for (const socket of this.#turns[this.#at] as Set<Socket>) socket.ping()
    this.#at = (this.#at + 1) % TURNS
  }
}
