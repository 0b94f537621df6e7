/** What one class may hold beside what is free, and one pool beside what its class may still take; lines like works. */
const CLASS_SHARE = 4
const POOL_SHARE = 1

type Usage = { works: number; lines: number }

/**
 * Who may still put how much into the bounded heap. Pools and classes come and go, so that nothing is set aside by name:
 * each may hold at most a fixed multiple of what is free, as switches share a buffer (Choudhury and Hahne, "Dynamic queue
 * length thresholds", 1998). Alone, a pool fills two fifths of the heap and a class four fifths; however many are full, the next
 * one finds room. So neither a flooded pool, nor one whose devices are all away, keeps the others out.
 */
export class Room {
  readonly #bound: number
  readonly #lineBound: number
  readonly #ofPool = new Map<string, Usage>()
  readonly #ofClass = new Map<number, number>()
  #works = 0
  #lines = 0

  constructor(bound: number, lineBound: number) {
    this.#bound = bound
    this.#lineBound = lineBound
  }

  get works(): number {
    return this.#works
  }

  /** How many more works of this pool and class are taken, even if each needs a line of its own. */
  of(pool: string, priority: number): number {
    return Math.min(this.#worksOf(pool, priority), this.#linesOf(pool))
  }

  takes(pool: string, priority: number, needsLine: boolean): boolean {
    return this.#worksOf(pool, priority) >= 1 && (!needsLine || this.#linesOf(pool) >= 1)
  }

  add(pool: string, priority: number): void {
    this.#works += 1
    this.#usage(pool).works += 1
    this.#ofClass.set(priority, (this.#ofClass.get(priority) ?? 0) + 1)
  }

  remove(pool: string, priority: number): void {
    this.#works -= 1
    const usage = this.#usage(pool)
    usage.works -= 1
    this.#dropEmpty(pool, usage)
    const left = (this.#ofClass.get(priority) ?? 0) - 1
    if (left > 0) this.#ofClass.set(priority, left)
    else this.#ofClass.delete(priority)
  }

  addLine(pool: string): void {
    this.#lines += 1
    this.#usage(pool).lines += 1
  }

  removeLine(pool: string): void {
    this.#lines -= 1
    const usage = this.#usage(pool)
    usage.lines -= 1
    this.#dropEmpty(pool, usage)
  }

  /** A pool has its share of what its class may still take, so that a class which others filled has room for one more. */
  #worksOf(pool: string, priority: number): number {
    const free = this.#bound - this.#works
    const ofClass = share(CLASS_SHARE, free, this.#ofClass.get(priority) ?? 0)
    return Math.max(0, Math.min(free, share(POOL_SHARE, ofClass, this.#ofPool.get(pool)?.works ?? 0)))
  }

  #linesOf(pool: string): number {
    return Math.max(0, share(POOL_SHARE, this.#lineBound - this.#lines, this.#ofPool.get(pool)?.lines ?? 0))
  }

  #usage(pool: string): Usage {
    let usage = this.#ofPool.get(pool)
    if (usage === undefined) {
      usage = { works: 0, lines: 0 }
      this.#ofPool.set(pool, usage)
    }
    return usage
  }

  #dropEmpty(pool: string, { works, lines }: Usage): void {
    if (works === 0 && lines === 0) this.#ofPool.delete(pool)
  }
}

/** The largest n with used + n <= multiple x (free - n), or one where only one is left. */
const share = (multiple: number, free: number, used: number): number => {
  const more = Math.floor((multiple * free - used) / (multiple + 1))
  return more <= 0 && used === 0 && free >= 1 ? 1 : more
}
