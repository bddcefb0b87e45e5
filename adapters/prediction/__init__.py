"""A trained pose network on a user's own pictures and videos: boxes, crops, hands, drawings."""
