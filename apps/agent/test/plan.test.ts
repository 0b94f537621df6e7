import type { DesiredArtifact, Manifest } from '@skerry/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Current, filesOf, plan, type Step, type Unit, unitsOf } from '../src/plan.ts'

const hash = (n: number): string => n.toString(16).padStart(64, '0')

function manifestOf(artifact: string, goldens: number | null): Manifest {
  return {
    artifact,
    bytes: Number.parseInt(artifact, 16),
    model: 'm',
    version: '1',
    variant: 'float32',
    recipe: 'float32',
    state: 'ready',
    sourceSha256: hash(0),
    names: { inputs: {}, outputs: {} },
    converter: { name: 'c', version: '1', options: {} },
    createdAt: '2026-01-01T00:00:00Z',
    ...(goldens === null ? {} : { goldenInputs: hash(100 + goldens), goldenOutputs: hash(200 + goldens) })
  }
}

// Few artifacts, goldens and deployments, so that units share files and deployments share units.
const desiredArtifact: fc.Arbitrary<DesiredArtifact> = fc
  .record({
    deployment: fc.constantFrom('a', 'b', 'c'),
    artifact: fc.integer({ min: 1, max: 4 }).map(hash),
    runtime: fc.constantFrom('litert' as const, 'tfjs-tflite' as const),
    goldens: fc.option(fc.integer({ min: 0, max: 2 })),
    signature: fc.constantFrom('s', 't')
  })
  .map(({ goldens, ...rest }) => ({ ...rest, manifest: manifestOf(rest.artifact, goldens) }))
const desired = fc.array(desiredArtifact, { maxLength: 6 }).map(unitsOf)

type SetKeys = Exclude<keyof Current, 'sizes' | 'limitBytes'>
type State = Record<SetKeys, Set<string>> & Pick<Current, 'sizes' | 'limitBytes'>

// Of every file that there can be, so that they need not follow what comes and goes. Golden files take no room: that
// they do is seen once they are there.
const sizes = new Map([...Array(300).keys()].map((n) => [hash(n), n < 100 ? n : 0]))
const bytesOf = (files: Iterable<string>): number => [...files].reduce((sum, file) => sum + (sizes.get(file) ?? 0), 0)

const anyOf = (values: readonly string[]): fc.Arbitrary<Set<string>> =>
  fc.subarray([...new Set(values)]).map((chosen) => new Set(chosen))

/** A wish and any state that could stand before it, with leftovers of units and files that nobody wants. */
const situation = fc.tuple(desired, desired, fc.boolean()).chain(([wanted, before, holds]) => {
  const ids = [...wanted, ...before].map(({ id }) => id)
  const files = [...wanted, ...before].flatMap(filesOf)
  return fc.record({
    wanted: fc.constant(wanted),
    state: fc.record({
      sizes: fc.constant(sizes),
      limitBytes: fc.constantFrom(0, 5, 12, 1_000),
      files: anyOf(files),
      pinned: anyOf([...files, ...ids]),
      verified: anyOf(ids),
      loaded: anyOf(ids),
      checked: anyOf(ids),
      held: holds ? anyOf(ids) : fc.constant(new Set<string>())
    })
  })
})

function execute(step: Step, state: State): void {
  if (step.kind === 'evict') {
    if ('model' in step) state.loaded.delete(step.model)
    else state.files.delete(step.file)
  } else if (step.kind === 'fetch') state.files.add(step.file)
  else if (step.kind === 'verify') state.verified.add(step.unit.id)
  else if (step.kind === 'load') state.loaded.add(step.unit.id)
  else state.checked.add(step.unit.id)
}

function run(wanted: readonly Unit[], state: State): Step[] {
  const done: Step[] = []
  for (let [step] = plan(wanted, state); step !== undefined; [step] = plan(wanted, state)) {
    execute(step, state)
    done.push(step)
    if (done.length > 200) throw new Error('the plan does not end')
  }
  return done
}

describe('the planner', () => {
  it('ends in the desired state: every wanted unit ready, nothing else in memory, spare files within the limit', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        run(wanted, state)
        const free = wanted.filter(({ id }) => !state.held.has(id))
        for (const unit of free) {
          expect(state.loaded.has(unit.id) && state.verified.has(unit.id) && state.checked.has(unit.id)).toBe(true)
          for (const file of filesOf(unit)) expect(state.files.has(file)).toBe(true)
        }
        const wantedFiles = new Set(wanted.flatMap(filesOf))
        const spare = [...state.files].filter((file) => !wantedFiles.has(file) && !state.pinned.has(file))
        if (spare.length > 0) expect(bytesOf(state.files)).toBeLessThanOrEqual(state.limitBytes)
        for (const model of state.loaded) {
          expect(wanted.some(({ id }) => id === model) || state.pinned.has(model)).toBe(true)
        }
        expect(plan(wanted, state)).toEqual([])
      })
    )
  })

  it('never loads what is not verified, verifies what is not there, or checks what is not loaded', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        const fresh: State = { ...state, verified: new Set(), loaded: new Set(), checked: new Set(), files: new Set() }
        for (let [step] = plan(wanted, fresh); step !== undefined; [step] = plan(wanted, fresh)) {
          if (step.kind === 'verify') for (const file of filesOf(step.unit)) expect(fresh.files.has(file)).toBe(true)
          if (step.kind === 'load') expect(fresh.verified.has(step.unit.id)).toBe(true)
          if (step.kind === 'check') expect(fresh.loaded.has(step.unit.id)).toBe(true)
          execute(step, fresh)
        }
      })
    )
  })

  it('executes in one go as it was planned', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        const stepwise = run(wanted, structuredClone(state))
        const atOnce = plan(wanted, state)
        expect(atOnce).toEqual(stepwise)
      })
    )
  })

  it('never evicts a file or a model that is wanted, nor what a benchmark uses', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        const wantedFiles = new Set(wanted.flatMap(filesOf))
        for (const step of plan(wanted, state)) {
          if (step.kind !== 'evict') continue
          if ('model' in step)
            expect(wanted.some(({ id }) => id === step.model) || state.pinned.has(step.model)).toBe(false)
          else expect(wantedFiles.has(step.file) || state.pinned.has(step.file)).toBe(false)
        }
      })
    )
  })

  it('evicts the least recently used first, and no more than it must', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        const wantedFiles = new Set(wanted.flatMap(filesOf))
        const evicted = plan(wanted, state).flatMap((step) =>
          'file' in step && step.kind === 'evict' ? [step.file] : []
        )
        const spare = [...state.files].filter((file) => !wantedFiles.has(file) && !state.pinned.has(file))
        expect(evicted).toEqual(spare.slice(0, evicted.length))
        const toCome = new Set(wanted.map(({ artifact }) => artifact).filter((artifact) => !state.files.has(artifact)))
        const last = evicted.at(-1)
        if (last === undefined) return
        const withoutTheLast = new Set([...state.files].filter((file) => file === last || !evicted.includes(file)))
        expect(bytesOf(withoutTheLast) + bytesOf(toCome)).toBeGreaterThan(state.limitBytes)
      })
    )
  })

  it('leaves a held unit alone, and does not throw away what it has', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        for (const step of plan(wanted, state)) {
          if (step.kind !== 'evict') expect(state.held.has(step.unit.id)).toBe(false)
        }
      })
    )
  })

  it('frees memory and disk before it takes more', () => {
    fc.assert(
      fc.property(situation, ({ wanted, state }) => {
        const kinds = plan(wanted, state).map(({ kind }) => kind)
        expect(kinds.lastIndexOf('evict')).toBe(kinds.filter((kind) => kind === 'evict').length - 1)
      })
    )
  })

  it('takes two deployments of one artifact as one unit, and two manifests of one file as two', () => {
    const manifest = manifestOf(hash(1), null)
    const base: DesiredArtifact = { deployment: 'a', artifact: hash(1), runtime: 'litert', manifest, signature: 's' }
    expect(unitsOf([base, { ...base, deployment: 'b' }]).map(({ deployments }) => deployments)).toEqual([['a', 'b']])
    const renamed = { ...manifest, names: { inputs: { x: 'y' }, outputs: {} } }
    expect(unitsOf([base, { ...base, deployment: 'b', manifest: renamed }])).toHaveLength(2)
  })
})
