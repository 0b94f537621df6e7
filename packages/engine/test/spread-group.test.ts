import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SpreadGroup } from '../src/scheduling/spread-group.ts'

/** The rule in its plainest form, over all values each time. */
class Plain {
  readonly valueOf = new Map<string, string>()
  readonly counts = new Map<string, number>()
  readonly #maxSkew: number

  constructor(maxSkew: number) {
    this.#maxSkew = maxSkew
  }

  get values(): Set<string> {
    return new Set(this.valueOf.values())
  }

  get least(): number {
    return Math.min(...[...this.values].map((value) => this.counts.get(value) ?? 0))
  }

  /** The devices whose value may take one more. */
  open(): Set<string> {
    const most = this.least + this.#maxSkew - 1
    return new Set([...this.valueOf].filter(([, value]) => (this.counts.get(value) ?? 0) <= most).map(([id]) => id))
  }

  forgetGone(): void {
    for (const value of this.counts.keys()) if (!this.values.has(value)) this.counts.delete(value)
  }
}

describe('SpreadGroup', () => {
  const value = fc.constantFrom('a', 'b', 'c', 'd')
  const device = fc.constantFrom('1', '2', '3', '4', '5', '6')
  const step = fc.oneof(
    fc.record({ what: fc.constant('add' as const), device, value }),
    fc.record({ what: fc.constant('remove' as const), device }),
    fc.record({ what: fc.constant('job' as const), value, change: fc.constantFrom(1 as const, -1 as const) })
  )

  it('answers the devices for which something changed, and no others', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (maxSkew, steps) => {
        const [group, plain] = [new SpreadGroup('site', maxSkew), new Plain(maxSkew)]
        for (const each of steps) {
          const before = plain.open()
          const own = each.what === 'job' ? null : each.device
          let answered: string[]
          if (each.what === 'job') {
            answered = group.noteJob(each.value, each.change)
            if (plain.values.has(each.value))
              plain.counts.set(each.value, Math.max(0, (plain.counts.get(each.value) ?? 0) + each.change))
          } else if (each.what === 'remove') {
            answered = group.removeDevice(plain.valueOf.get(each.device), each.device)
            plain.valueOf.delete(each.device)
          } else {
            if (plain.valueOf.has(each.device)) continue
            answered = group.addDevice(each.value, each.device)
            plain.valueOf.set(each.device, each.value)
          }
          plain.forgetGone()
          const after = plain.open()
          const others = [...plain.valueOf.keys()].filter((id) => id !== own)
          expect(answered.filter((id) => id !== own).sort()).toEqual(
            others.filter((id) => before.has(id) !== after.has(id)).sort()
          )
          expect(group.least).toBe(plain.least)
          for (const each of plain.values) expect(group.on(each)).toBe(plain.counts.get(each) ?? 0)
          expect(group.isIdle).toBe([...plain.counts.values()].every((count) => count === 0))
        }
      }),
      { numRuns: 500 }
    )
  })
})
