const keptLines = 20
const maxLineLength = 2000

/** Cuts a child's output into lines, keeps the last ones, and leaves out what runtimes say without being asked. */
export class StderrLines {
  readonly #onLine: (line: string) => boolean
  readonly #last: string[] = []
  #rest = ''

  /** `onLine` says whether the line is worth keeping. */
  constructor(onLine: (line: string) => boolean) {
    this.#onLine = onLine
  }

  push(chunk: string): void {
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = (lines.pop() ?? '').slice(-maxLineLength)
    for (const line of lines) this.#take(line.trim())
  }

  /** Takes what stands after the last line break. */
  end(): void {
    this.#take(this.#rest.trim())
    this.#rest = ''
  }

  /** The last lines, oldest first. */
  get last(): string[] {
    return [...this.#last]
  }

  #take(line: string): void {
    if (line === '' || isNoise(line) || !this.#onLine(line)) return
    this.#last.push(line.slice(0, maxLineLength))
    if (this.#last.length > keptLines) this.#last.shift()
  }
}

/** LiteRT reports every model, each sparse tensor, and at start each accelerator that this machine does not have. */
function isNoise(line: string): boolean {
  return /^(INFO|VERBOSE|DEBUG):/.test(line) || /^WARNING: \[(npu_registry|gpu_registry|model_load)\.cc/.test(line)
}
