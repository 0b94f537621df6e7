import { type Candidate, candidatesFor } from './candidates.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConversionContext } from './convert.ts'
import type { Evidence } from './evidence.ts'
import { findWorstLayers } from './layer-errors.ts'
import { floatTwin, tryCandidate } from './try-candidate.ts'
import type { LayerError, Parity, Proposal, VariantResult } from './types.ts'

const defaultMaxCandidates = 3
/** Of the conversion's time limit, for all its rejected variants together. */
const budgetShare = 1 / 3
const defaultTimeLimitMs = 15 * 60_000
/** Less than this is the difference between two runs of the same recipe. */
const telling = { db: 1, share: 0.005 }

/** What a candidate turned out to be; undefined where it could not be made. */
export type TriedCandidate = Pick<VariantResult, 'state' | 'parity' | 'bytes' | 'runtimes'> | undefined

export type ProposalTools = {
  findLayers: (signal: AbortSignal) => Promise<LayerError[]>
  tryCandidate: (candidate: Candidate, signal: AbortSignal) => Promise<TriedCandidate>
  /** Aborts when nothing is wanted any more; then its reason is thrown. */
  signal: AbortSignal
  /** Milliseconds. */
  now: () => number
}

const spentMs = new WeakMap<ConversionContext, number>()

/**
 * Says of a rejected quantized variant where it breaks, and what was measured to be better: fills `layerErrors` and
 * `proposals`. Whatever fails here leaves them out; the variant is as rejected as before.
 *
 * @throws only the conversion's own end: its time limit, or that it was cancelled.
 */
export async function explainRejection(
  context: ConversionContext,
  result: VariantResult,
  evidence: Evidence
): Promise<void> {
  const { recipe, path } = result
  const quantized = recipe !== undefined && recipe.variant !== 'float32' && recipe.variant !== 'float16'
  if (result.state !== 'rejected' || !quantized || path === undefined) return
  const now = context.deps.now ?? (() => performance.now())
  const started = now()
  const budgetMs = (context.deps.timeLimitMs ?? defaultTimeLimitMs) * budgetShare - (spentMs.get(context) ?? 0)
  const findLayers = async (signal: AbortSignal): Promise<LayerError[]> => {
    return findWorstLayers({
      worker: context.deps.worker,
      floatPath: await floatTwin(context, recipe, signal),
      quantizedPath: path,
      samplesPath: context.work.file('samples.npz'),
      names: evidence.names,
      temporaryFolder: context.work.temporary,
      signal
    })
  }
  context.progress(`explain ${result.variant}`, 0, `looking for where ${result.variant} breaks`)
  const found = await proposeBetter(
    result,
    { requested: context.request.variants, calibrationUploaded: context.request.calibrationPath !== undefined },
    {
      findLayers,
      tryCandidate: (candidate, signal) => tryCandidate(context, candidate, evidence, signal),
      signal: context.signal,
      now
    },
    { budgetMs, ...(context.request.propose === false ? { maxCandidates: 0 } : {}) }
  )
  spentMs.set(context, (spentMs.get(context) ?? 0) + now() - started)
  Object.assign(result, found)
}

/** The part of explainRejection that decides: what to try, for how long, and what is better. */
export async function proposeBetter(
  result: VariantResult,
  facts: Parameters<typeof candidatesFor>[2],
  tools: ProposalTools,
  { budgetMs, maxCandidates = defaultMaxCandidates }: { budgetMs: number; maxCandidates?: number }
): Promise<Pick<VariantResult, 'layerErrors' | 'proposals'>> {
  const end = tools.now() + budgetMs
  const within = async <T>(run: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> => {
    const leftMs = end - tools.now()
    if (leftMs <= 0) return undefined
    try {
      return await run(AbortSignal.any([tools.signal, AbortSignal.timeout(Math.ceil(leftMs))]))
    } catch (error) {
      tools.signal.throwIfAborted()
      // The time is over, or the converter cannot do it: this was an offer, not the task.
      if (error instanceof ConversionError || (error as { name?: unknown }).name === 'TimeoutError') return undefined
      throw error
    }
  }

  const layerErrors = (await within(tools.findLayers)) ?? []
  const proposals: Proposal[] = []
  const { sameKind, coarser } = candidatesFor(result, layerErrors, facts)
  const candidates = maxCandidates === 0 ? [] : [...sameKind.slice(0, maxCandidates), ...coarser]
  for (const candidate of candidates) {
    // Coarser ones cost what the variant was wanted for.
    if (coarser.includes(candidate) && proposals.some(({ state }) => state === 'ready')) break
    const tried = await within((signal) => tools.tryCandidate(candidate, signal))
    const proposal = tried === undefined ? undefined : proposalFrom(candidate, tried, result)
    if (proposal !== undefined) proposals.push(proposal)
  }
  const best = proposals.sort(
    (a, b) => rankOf[b.state] - rankOf[a.state] || lowestSnrDb(b.parity) - lowestSnrDb(a.parity)
  )
  return {
    ...(layerErrors.length === 0 ? {} : { layerErrors }),
    ...(best.length === 0 ? {} : { proposals: best })
  }
}

function proposalFrom(candidate: Candidate, tried: NonNullable<TriedCandidate>, rejected: VariantResult) {
  const { state, parity, bytes } = tried
  if (parity === undefined || bytes === undefined || !isBetter({ state, parity }, rejected)) return undefined
  const p50Ms = tried.runtimes.find(({ p50Ms }) => p50Ms !== undefined)?.p50Ms
  const { kind, recipe, what } = candidate
  const summary = `${what}: ${inWords(parity, rejected.parity)}.`
  return { kind, summary, recipe, state, parity, bytes, ...(p50Ms === undefined ? {} : { p50Ms }) } satisfies Proposal
}

const rankOf = { ready: 2, unproven: 1, inconclusive: 0, rejected: 0, failed: 0 } as const

/** A better state; or, in the same state, something tellingly better and nothing tellingly worse. */
export function isBetter(
  tried: { state: VariantResult['state']; parity: Parity },
  rejected: Pick<VariantResult, 'state' | 'parity'>
): boolean {
  const rank = rankOf[tried.state] - rankOf[rejected.state]
  if (rank !== 0 || rejected.parity === undefined) return rank > 0
  const gains = [
    (lowestSnrDb(tried.parity) - lowestSnrDb(rejected.parity)) / telling.db,
    (lowestAgreement(tried.parity) - lowestAgreement(rejected.parity)) / telling.share,
    ((tried.parity.accuracy?.variant ?? 0) - (rejected.parity.accuracy?.variant ?? 0)) / telling.share
  ]
  return gains.some((gain) => gain >= 1) && gains.every((gain) => gain > -1)
}

// A missing SNR is infinite where nothing differs, and otherwise has no meaning; the errors tell which.
function lowestSnrDb({ outputs }: Parity): number {
  const values = outputs.map(({ snrDb, maxAbsError }) => snrDb ?? (maxAbsError === 0 ? 300 : -300))
  return Math.min(...values, 300)
}

function lowestAgreement({ outputs }: Parity): number {
  return Math.min(1, ...outputs.map(({ agreement }) => agreement ?? 1))
}

function inWords(parity: Parity, before: Parity | undefined): string {
  const change = (name: string, measure: (parity: Parity) => string) =>
    before === undefined ? `${name} ${measure(parity)}` : `${name} ${measure(parity)} instead of ${measure(before)}`
  const accuracy = ({ accuracy: known }: Parity) => (known === undefined ? '?' : known.variant.toFixed(3))
  return [
    change('SNR', (each) => `${lowestSnrDb(each).toFixed(1)} dB`),
    ...(parity.outputs.some(({ agreement }) => typeof agreement === 'number')
      ? [change('agreement', (each) => lowestAgreement(each).toFixed(3))]
      : []),
    ...(parity.accuracy === undefined ? [] : [change('accuracy', accuracy)])
  ].join(', ')
}
