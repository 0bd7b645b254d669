"""``python -m LiverLesionAI`` is the command line."""

from LiverLesionAI.cli import main

if __name__ == "__main__":
    main()
