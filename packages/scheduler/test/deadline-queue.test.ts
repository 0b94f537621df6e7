import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DeadlineQueue, type Queued } from '../src/core/deadline-queue.ts'

const small = fc.integer({ min: 0, max: 3 })
const item = fc.record({ deadlineMs: small, order: small })

describe('DeadlineQueue', () => {
  it('keeps entries by deadline, then order, then arrival, and removes exactly the one that is meant', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 40 }), (items, removals) => {
        const queue = new DeadlineQueue<Queued>()
        let model: Queued[] = []
        for (const each of items) {
          queue.push(each)
          model.push(each)
        }
        model.sort((a, b) => a.deadlineMs - b.deadlineMs || a.order - b.order)
        for (const at of removals) {
          const meant = model[at % Math.max(1, model.length)]
          if (meant === undefined) break
          expect(queue.remove(meant)).toBe(true)
          expect(queue.remove(meant)).toBe(false)
          model = model.filter((each) => each !== meant)
        }
        expect(Array.from({ length: queue.size }, (_, i) => queue.at(i))).toEqual(model)
      })
    )
  })
})
