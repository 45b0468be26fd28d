"""The carrier's side of a media stream, for calling servers without a carrier.

Pure: ``side`` (what a carrier says and understands), ``line`` (its playout buffer and what the
caller hears), ``awkward`` (a carrier at its worst). ``voicecore/phone`` holds the telephone.
"""
