"""One answer, piece by piece: printed while it comes, or handed to your own code."""

from deluge import APIResponse, LLMClient

client = LLMClient("rehearsal-echo")
client.stream("Printed as it comes, without any further code.")

for piece in client.stream_chat("Every piece goes where you want it."):
    if isinstance(piece, APIResponse):  # the last one
        print(f"\n{piece.output_tokens} tokens, {piece.finish_reason}")
    else:
        print(f"[{piece.text}]", end="")
