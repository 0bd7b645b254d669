"""What a network reads of a study: training and inference both come through here."""
