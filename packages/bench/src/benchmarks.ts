/** What a benchmark is given: nothing here reads the environment. */
export type BenchmarkContext = {
  /** Python of an environment with TensorFlow. */
  python: string
  liteRtLibrary: string
  valkeyServer: string
  /** Kept models of the worked example are looked for here, and made where they are missing. */
  dataDir: string
  /** How many devices are connected, for benchmarks that compare sizes of a fleet; each has its own sizes without it. */
  devices?: readonly number[]
  /** Progress, for a person. */
  say: (line: string) => void
}

/** The last line's object. `ratio` is ours over the peer's, null where none runs here. */
export type BenchmarkResult = { benchmark: string; ratio: number | null } & Record<string, unknown>

export type Benchmark = {
  summary: string
  run: (context: BenchmarkContext) => Promise<BenchmarkResult>
}

/** By the name that `npm run bench` takes. */
export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  agent: {
    summary: 'what an idle agent costs, how soon it serves, what a cut link costs; beside stated goals',
    run: async (context) => (await import('./agent.ts')).benchmarkAgent(context)
  },
  conversion: {
    summary: "the example model's four variants by a warm converter; peer: a plain Python script",
    run: async (context) => (await import('./conversion.ts')).benchmarkConversion(context)
  },
  dispatch: {
    summary:
      'durable jobs a second over 100 devices, beside BullMQ alone; cost per job and to connect --devices 10,...,10000',
    run: async (context) => (await import('./dispatch.ts')).benchmarkDispatch(context)
  },
  placement: {
    summary: 'decisions of the scheduler at 100 to 100,000 devices; no peer here',
    run: async (context) => (await import('./placement.ts')).benchmarkPlacement(context)
  },
  rtt: {
    summary: "a synchronous inference less the device's own time; peer: BullMQ's add to waitUntilFinished",
    run: async (context) => (await import('./rtt.ts')).benchmarkRtt(context)
  },
  runtime: {
    summary: "one inference through a runtime's child process; peer: ai-edge-litert in Python",
    run: async (context) => (await import('./runtime.ts')).benchmarkRuntime(context)
  }
}
