import type { Filter } from '../framework.ts'

/** Reads how much of the group is placed on each value of a label, for example site. */
export const spreadFilter: Filter = {
  name: 'spread',
  reads: 'device.labels, work.spread, context.placedByLabelValue',
  reject: ({ spread }, { labels }, { placedByLabelValue }) => {
    if (spread === null) return null
    const value = labels[spread.label]
    if (value === undefined) return `has no label ${spread.label} to spread over`
    const least = Math.min(...placedByLabelValue.values(), Number.MAX_SAFE_INTEGER)
    const own = placedByLabelValue.get(value) ?? 0
    return own + 1 - Math.min(least, own) <= spread.maxSkew ? null : `${spread.label} ${value} has its share`
  }
}
