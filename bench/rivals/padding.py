"""A batch of texts as the padded arrays that engines of fixed shapes want."""

import numpy


def padded(batch, with_types):
    longest = max(len(ids) for ids in batch)
    ids, mask = numpy.zeros((len(batch), longest), numpy.int64), numpy.zeros((len(batch), longest), numpy.int64)
    for row, text in enumerate(batch):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    arrays = {"input_ids": ids, "attention_mask": mask}
    if with_types:
        arrays["token_type_ids"] = numpy.zeros_like(ids)
    return arrays
